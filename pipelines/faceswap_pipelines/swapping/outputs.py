"""What a swap writes: the film or its frames, masks beside it, and the settings that it was made with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from faceswap.config import to_toml
from faceswap.database import lock
from faceswap.documents import storable
from faceswap.errors import OutputError
from faceswap.files import beside, replaced, sweep
from faceswap.media.info import VideoInfo
from faceswap.media.sequence import SequenceWriter
from faceswap.media.video_write import SegmentedWriter, open_writer
from faceswap.model.folder import latest_checkpoint
from faceswap.swapping.convert import Converted
from faceswap.types import Alpha, Frame, Picture, Seal
from faceswap_pipelines.swapping.job import SwapJob
from faceswap_pipelines.swapping.origin import Origin, with_origin
from faceswap_pipelines.swapping.prepare import signature_of

SEGMENT_FRAMES = 60
"""Of a film in the making: how many frames a kill costs at most."""


@contextmanager
def locked_outputs(job: SwapJob) -> Iterator[None]:
    """Keeps every other process from writing the same outputs meanwhile. Raises OutputError if one does so already."""
    with ExitStack() as stack:
        for place in {_lock_of(path) for path in (job.out, job.mask_out) if path}:
            taken = OutputError(f"{job.out} is being written already", "Wait for that to end, or stop it first")
            stack.enter_context(only_one(place, taken))
        sweep(job.out.parent, job.out.stem)
        yield


def _lock_of(out: Path) -> Path:
    """By the stem, after which tracks, sheet and settings are called, too."""
    return beside(out.with_suffix(""), ".lock", prefix=".")


@contextmanager
def only_one(place: Path, taken: OutputError) -> Iterator[None]:
    """Holds the lock file `place`, which is gone in the end. Raises `taken` if another process holds it."""
    held = lock(place, taken)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps it while it is open
            place.unlink()
        held.close()


class Outputs(AbstractContextManager["Outputs"]):
    """The film of a job in the making, and that of its masks if they are wanted: each goes on where it was.

    Raises OutputError if they cannot be written.
    """

    def __init__(self, job: SwapJob, info: VideoInfo, seal: Seal, span: tuple[int, int] | None = None) -> None:
        """`span`: only the frames from one number up to but without another are written; other processes write the
        others, and whoever has all joins them."""
        only = None if span is None else range(span[0] - job.frames[0], span[1] - job.frames[0])
        first = job.frames[0] if span is None else span[0]
        with ExitStack() as stack:
            self._files = [stack.enter_context(_Output(_open(job, job.out, info, seal, only), first))]
            if job.mask_out:
                masks = _open(job, job.mask_out, replace(info, has_alpha=False), None, only)
                self._files.append(stack.enter_context(_Output(masks, first)))
            self._stack = stack.pop_all()

        interlaced = ("the video was interlaced: its frames are whole ones now",) if info.interlaced else ()
        writer = self._files[0].writer
        gaps = job.footage.gaps
        missing = (f"of the pictures between the first and the last {gaps} are missing",) if gaps else ()
        self.notes: tuple[str, ...] = (
            *interlaced,
            *missing,
            *(writer.notes if isinstance(writer, SegmentedWriter) else ()),
        )
        """What the user should know of the film."""

    @property
    def next(self) -> int:
        """The number of the first frame that is missing in one of them."""
        return min(file.next for file in self._files)

    def write(self, made: Converted) -> None:
        """A frame, and its mask, where they are not yet written."""
        opacities = (made.frame.alpha, None)
        for file, image, alpha in zip(self._files, images_of(made), opacities, strict=False):
            file.take(made.frame, image, alpha)

    def complete(self) -> None:
        """Join and sign all: they are whole before the first one gets its name on leaving."""
        for file in self._files:
            file.writer.complete()

    def discard(self) -> None:
        """Leave nothing behind."""
        for file in self._files:
            file.writer.discard()

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)


class _Output(AbstractContextManager["_Output"]):
    """A file in the making, and the number of the frame that it waits for: after a kill not the same for each."""

    def __init__(self, writer: SegmentedWriter | SequenceWriter, first: int) -> None:
        self.writer, self.next = writer, first + writer.frames_done

    def take(self, frame: Frame, image: Picture, alpha: Alpha | None) -> None:
        """Writes the picture of a frame, unless it has that already."""
        if frame.index == self.next:
            self.writer.write(image, frame.time, alpha)
            self.next += 1

    def __exit__(self, *error: Any) -> None:
        self.writer.__exit__(*error)


def _open(
    job: SwapJob, path: Path, info: VideoInfo, seal: Seal | None, only: range | None
) -> SegmentedWriter | SequenceWriter:
    if not path.suffix:
        originals, is_film = job.footage.originals, seal is not None
        return SequenceWriter(path, signature_of(job), seal, originals, with_extras=is_film, only=only)

    return open_writer(
        path,
        info,
        encoding=job.settings.encoding,
        segment_frames=SEGMENT_FRAMES,
        excerpt=job.frames != (0, None),
        only=only,
        signature=signature_of(job),
        seal=seal,
    )


def images_of(made: Converted) -> Iterator[Picture]:
    """The picture, then the mask as a picture if there is one."""
    yield made.image
    if made.mask is not None:
        yield made.mask[..., None].repeat(3, axis=2)


def write_settings(job: SwapJob) -> str:
    """The settings beside the output, and what it was made from; the file's path. Raises OutputError."""
    path = beside(job.out.with_suffix(""), ".settings.toml")
    checkpoint = latest_checkpoint(job.model)
    origin = Origin(
        video=job.video.name,
        model=job.model.name,
        steps=int(checkpoint.name) if checkpoint else 0,
        first=job.frames[0],
        stop=job.frames[1],
    )

    try:
        with replaced(path) as fresh:
            fresh.write_text(storable(with_origin(to_toml(job.settings), origin)), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Check the folder and its space") from error
    return str(path)
