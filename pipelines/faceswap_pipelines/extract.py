"""Extract: from videos and pictures of a person to a faceset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from faceswap.errors import FaceError, MediaError
from faceswap.faces.align import align
from faceswap.faces.faceset import FaceRecord, Faceset, Source
from faceswap.faces.quality import QualityLimits, reason_to_reject, sharpness
from faceswap.faces.track import MainFace
from faceswap.media.pictures import is_picture, is_video, read_picture
from faceswap.media.video import probe, read_frames
from faceswap.types import AlignedFace, Face, Frame, Picture
from faceswap_pipelines.job import Job, Progress, pick_device
from faceswap_pipelines.stages import FaceFinder, ahead, batched, find_faces

_STRANGER = "not the main person"
_REPEATED = "like the face before it"
_COMMIT_EVERY = 16  # frames; what a killed extraction has to do again at most


@dataclass(frozen=True)
class ExtractJob:
    """What to extract, and how."""

    inputs: tuple[Path, ...]
    """Videos, pictures, or folders of them."""
    out: Path
    frames: tuple[int, int | None] = (0, None)
    """Of each video: first frame, and the one to stop before."""
    size: int = 256
    """Side of the crops, in pixels."""
    min_face: int | None = None
    """Width in pixels of the smallest face to look for; None: an eighth of the frame's short side."""
    skip_similar: float = 0.0
    """Leave out faces that differ from the one kept before by less than this (mean grey levels, 0..255)."""
    limits: QualityLimits = field(default_factory=QualityLimits)
    device: str = "auto"


@dataclass(frozen=True)
class ExtractResult:
    """What came of it; the counts are of the whole faceset."""

    faceset: str
    frames: int
    """Looked at in this run."""
    frames_per_second: float
    kept: int
    rejected: dict[str, int]
    """By reason."""
    failed: dict[str, str]
    """Inputs that could not be read, with the reason."""


def extract(job: ExtractJob) -> Job[ExtractResult]:
    """Add the faces of `job.inputs` to the faceset `job.out`; what an earlier run has done is not done again.

    An input that cannot be read is noted and passed over, unless it is the only one.
    Raises FaceError if no face is kept at all.
    """
    inputs = list_media(job.inputs)
    finder = FaceFinder(pick_device(job.device), job.min_face)
    frames, failed, start = 0, {}, time.monotonic()
    with Faceset.create(job.out, job.size) as faceset:
        for path in inputs:
            try:
                frames += yield from _extract_one(path, job, faceset, finder)
            except MediaError as error:
                if len(inputs) == 1:
                    raise
                failed[str(path)] = str(error)
        records = faceset.records()
    reasons = [record.reason for record in records if record.reason]
    counts = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    kept = len(records) - len(reasons)
    if kept == 0:
        raise FaceError(*_why_none(inputs, counts, failed))
    rate = frames / (time.monotonic() - start)
    return ExtractResult(str(job.out), frames, rate, kept, counts, failed)


def list_media(inputs: Sequence[Path]) -> list[Path]:
    """The videos and pictures among `inputs`, folders opened (not those inside them), in the order of their names."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if is_picture(p) or is_video(p))
            if not inside:
                raise MediaError(f"the folder {path} holds no videos or pictures", "Name a folder that does")
            found += inside
        else:
            found.append(path)
    return found


def _extract_one(path: Path, job: ExtractJob, faceset: Faceset, finder: FaceFinder) -> Job[int]:
    """Work through one video or picture; how many frames were looked at."""
    if not path.is_file():
        raise MediaError(f"{path} does not exist", "Check the name")
    source = faceset.source(path, job.frames)
    if source.finished:
        return 0
    total = None
    if is_picture(path):
        image = read_picture(path)
        height, width = image.shape[:2]
        frames: Iterator[Frame] = iter([Frame(image, 0, Fraction(0))])
    else:
        info = probe(path)
        height, width = info.height, info.width
        last = min(n for n in (info.frame_count, job.frames[1]) if n is not None) if info.frame_count else job.frames[1]
        total = None if last is None else max(0, last - job.frames[0])
        frames = ahead(read_frames(path, source.next_frame, job.frames[1]))
    chooser = _Chooser(job, faceset, source, (width, height))
    done = source.next_frame - job.frames[0]
    start = done
    for some in batched(find_faces(frames, finder), _COMMIT_EVERY):
        faceset.add(source, chooser.choose(some), some[-1][0].index + 1)
        done += len(some)
        yield Progress(f"Faces of {path.name}", done, total, "frames", f"{chooser.kept} kept")
    faceset.finish(source)
    return done - start


class _Chooser:
    """Turns the faces of a source's frames into records: who is the main person, and which faces are good."""

    def __init__(self, job: ExtractJob, faceset: Faceset, source: Source, frame_size: tuple[int, int]) -> None:
        last = faceset.last_kept(source)
        self._job, self._source, self._frame_size = job, source, frame_size
        self._main = MainFace(last.face if last else None)
        self._before: Picture | None = read_picture(faceset.path(last)) if last and job.skip_similar else None
        self.kept = sum(record.source == source.id for record in faceset.records(kept_only=True))

    def choose(self, some: Iterable[tuple[Frame, list[Face]]]) -> Iterator[tuple[AlignedFace, FaceRecord]]:
        for frame, faces in some:
            main = self._main.choose(faces)
            for number, face in enumerate(faces):
                aligned = align(frame.image, face, self._job.size)
                reason = _STRANGER if number != main else self._reason(aligned)
                self.kept += reason is None
                yield aligned, self._record(frame, number, aligned, reason)

    def _reason(self, face: AlignedFace) -> str | None:
        reason = reason_to_reject(face, *self._frame_size, self._job.limits)
        if reason is None and self._job.skip_similar:
            if self._before is not None and _difference(face.image, self._before) < self._job.skip_similar:
                return _REPEATED
            self._before = face.image
        return reason

    def _record(self, frame: Frame, number: int, face: AlignedFace, reason: str | None) -> FaceRecord:
        stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in self._source.path.stem)[:60]
        file = f"{self._source.id:03d}_{stem}_{frame.index:06d}_{number}.jpg"
        return FaceRecord(
            file, self._source.id, frame.index, frame.time, face.face, face.to_crop, sharpness(face), reason
        )


def _difference(a: Picture, b: Picture) -> float:
    """Mean absolute difference of two crops in grey levels, at 32 px: what an eye would call a change."""
    small = [cv2.resize(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA) for i in (a, b)]
    return float(np.abs(small[0].astype(np.float32) - small[1].astype(np.float32)).mean())


def _why_none(inputs: Sequence[Path], rejected: dict[str, int], failed: dict[str, str]) -> tuple[str, str]:
    """Problem and remedy for a faceset without a single kept face."""
    names = inputs[0] if len(inputs) == 1 else f"{len(inputs)} inputs"
    if failed and len(failed) == len(inputs):
        return f"none of the {len(inputs)} inputs can be read; the first: {next(iter(failed.values()))}", "Check them"
    if rejected:
        listed = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
        return f"no face of {names} is good enough ({listed})", "Use sharper footage with a larger face"
    return f"no face was found in {names}", "Use footage that shows a face, or look for smaller ones with --min-face"
