"""Swap: a video of some people becomes the same video of others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from faceswap.config import SwapConfig, from_dict, read_toml, to_toml
from faceswap.errors import ConfigError, FaceError, ModelError, OutputError
from faceswap.faces.cast import Part, cast, check_way, choose, recognise
from faceswap.faces.identity import Embedding
from faceswap.faces.trackfile import Analysis, Track, TrackFile
from faceswap.media.codecs import Encoding
from faceswap.media.fingerprint import fingerprint
from faceswap.media.pictures import is_picture, read_picture, write_picture
from faceswap.media.sequence import SequenceWriter
from faceswap.media.video import VideoInfo, probe
from faceswap.media.video_write import SegmentedWriter, open_writer
from faceswap.quality.sheets import sheet
from faceswap.swapping.convert import Converted, Role, converted
from faceswap.swapping.fade import faded
from faceswap.swapping.infer import Swapper
from faceswap.training.checkpoint import latest_checkpoint
from faceswap.training.identities import identity_file, read_identities
from faceswap.types import Frame, FrameFaces, Picture
from faceswap_pipelines.analyse import SETTLE, FaceFinder, FrameRange, analyse, followed_frames
from faceswap_pipelines.job import Job, Progress
from faceswap_pipelines.models import Models
from faceswap_pipelines.stages import ahead, depth_for
from faceswap_pipelines.swap_sheet import Samples, close_up, sheet_path

_WARM_UP = 8  # frames in a batch: a resumed run begins where one begins, so that every batch is as it would have been


@dataclass(frozen=True)
class SwapSettings:
    """How to swap: what can be kept in a TOML file and used for many videos."""

    face: str = "main"
    """Which faces: one of `cast.WAYS`."""
    to: tuple[str, ...] = ("b",)
    """Who they become: one of the model's persons, or several from left to right."""
    map: tuple[str, ...] = ()
    """Instead of `face` and `to`: "a=b" makes b of the face that is recognised as a, and so on."""
    look: SwapConfig = field(default_factory=SwapConfig)
    encoding: Encoding = field(default_factory=Encoding)

    def __post_init__(self) -> None:
        check_way(self.face, self.to)
        if not self.to:
            raise ConfigError("nobody is named whom the face becomes", "Add --to PERSON")
        pairs = [text.partition("=") for text in self.map]
        if not all(source and target for source, _, target in pairs) or len(self.mapping) < len(pairs):
            raise ConfigError(f"'{' '.join(self.map)}' does not say who becomes whom", "Write --map a=b, each a once")

    @property
    def picture(self) -> Path | None:
        """That `face` names, if it does."""
        name = self.face.partition("=")[2]
        return Path(name) if name else None

    @property
    def mapping(self) -> dict[str, str]:
        """`map` by person."""
        return {source: target for source, _, target in (text.partition("=") for text in self.map)}


@dataclass(frozen=True)
class SwapJob:
    """What to swap, and how."""

    video: Path
    """A video, or a picture."""
    model: Path
    out: Path
    """A video; a picture, for a picture; or, without a suffix, a folder for a sequence of PNG pictures."""
    settings: SwapSettings = field(default_factory=SwapSettings)
    frames: FrameRange = (0, None)
    overwrite: bool = False
    mask_out: Path | None = None
    """For how much of each pixel is swapped, as grey pictures: the same kinds as `out`."""
    min_face: int | None = None
    """Width in pixels of the smallest face to look for; None: an eighth of the frame's short side."""
    device: str = "auto"


@dataclass(frozen=True)
class SwapResult:
    """What came of it."""

    out: str
    frames: int
    """Written in this run."""
    swapped: int
    """Of those, how many had a face that was swapped; the others passed through unchanged."""
    frames_per_second: float
    sheet: str
    """A picture with some frames before and after."""
    settings: str
    """The settings, as a file that --settings reads."""


def settings_from(file: Path | None, changes: Mapping[str, Any]) -> SwapSettings:
    """The settings in a TOML file, if one is given, with changes by name: fields of SwapSettings or of its parts.

    Raises ConfigError.
    """
    values = read_toml(file) if file else {}
    for name, value in changes.items():
        part = next((part for part, kind in _PARTS.items() if name in kind.__dataclass_fields__), None)
        if part is None and name not in SwapSettings.__dataclass_fields__:
            known = [field for kind in _PARTS.values() for field in kind.__dataclass_fields__]
            raise ConfigError(f"there is no setting '{name}'", f"Known are: {', '.join(known)}")
        table = values if part is None else values.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"'{part}' in {file} is no table", f"Write it as [{part}] and its settings below")
        table[name] = value
    return from_dict(SwapSettings, values, str(file or "settings"))


_PARTS: dict[str, Any] = {"look": SwapConfig, "encoding": Encoding}


def swap(job: SwapJob, models: Models | None = None) -> Job[SwapResult]:
    """Make `job.out`. A run that was killed goes on where it was when it is started again with the same job.

    `models` are those that this process has loaded already. Raises FaceError if there is no face to swap.
    """
    _check_output(job)
    models = models or Models()
    swapper, finder = open_swapper(job, models), models.finder(job.device, job.min_face)
    who = pictured(job, finder)
    if is_picture(job.video):
        return (yield from _swap_picture(job, swapper, finder, who))
    return (yield from _swap_video(job, swapper, finder, who))


def open_swapper(job: SwapJob, models: Models) -> Swapper:
    """The job's model, ready to swap. Raises ModelError if it does not know those whom the job wants."""
    swapper = models.swapper(job.model, job.device)
    mapping = job.settings.mapping
    for person in [*mapping, *mapping.values()] or job.settings.to:
        swapper.check(person)
    known = read_identities(job.model) if mapping else {}
    if unknown := next((person for person in mapping if person not in known), None):
        raise ModelError(
            f"the model does not know what '{unknown}' looks like",
            "Choose with --face; or extract that person's faces from a video and train the model for a moment more",
        )
    return swapper


def pictured(job: SwapJob, finder: FaceFinder) -> Embedding | None:
    """Who is to be seen in the picture that like=PICTURE or not=PICTURE names. Raises MediaError or FaceError."""
    picture = job.settings.picture
    return None if picture is None else finder.person_in(picture)


def parts_of(
    job: SwapJob, tracks: list[Track], who: Embedding | None, frames: Callable[[], Iterable[FrameFaces]]
) -> list[Part]:
    """Which of the faces that were followed become whom. Raises FaceError if it is none."""
    settings, way = job.settings, job.settings.face
    if not tracks:
        raise FaceError(
            f"no face was found in {job.video}, so there is nothing to swap",
            "Use footage that shows a face, or look for smaller ones with --min-face",
        )
    if mapping := settings.mapping:
        parts, whom = recognise(read_identities(job.model), mapping, tracks), f"nobody like {' or '.join(mapping)}"
    else:
        parts, whom = choose(way, settings.to, tracks, frames, who), f"no face that is '{way}'"
    if not parts:
        raise FaceError(f"{whom} was found in {job.video}", "Choose another with --face, for example --face main")
    return parts


def _swap_video(job: SwapJob, swapper: Swapper, finder: FaceFinder, who: Embedding | None) -> Job[SwapResult]:
    info = probe(job.video)
    look = job.settings.look
    first, stop = job.frames
    last = info.frame_count if stop is None else stop if info.frame_count is None else min(stop, info.frame_count)
    total = None if last is None else max(0, last - first)
    start_time = time.monotonic()
    with ExitStack() as stack:
        outputs = [_open_output(job, path, info) for path in (job.out, job.mask_out) if path]
        for output in outputs:
            stack.enter_context(output)
        tracks = stack.enter_context(TrackFile(job.out.with_name(f"{job.out.stem}.tracks.db")))
        analysis = yield from analyse(job.video, job.frames, tracks, finder)
        try:
            parts = parts_of(job, tracks.tracks(analysis), who, lambda: tracks.frames(analysis))
        except FaceError:
            for output in outputs:
                output.discard()
            if not tracks.tracks(analysis):  # otherwise another choice need not look for faces again
                tracks.delete()
            raise
        begun = done = min(output.frames_done for output in outputs)
        begin = _warm_up(tracks, analysis, first, first + begun, look.smooth)
        cast_frames = _roles(job, tracks, analysis, parts, begin)
        # Reading, swapping and writing go on at the same time: the first two each in a thread of their own.
        frames = ahead(
            converted(cast_frames, swapper, look, job.mask_out is not None), depth_for(info.width, info.height)
        )
        stack.callback(frames.close)
        samples, swapped = Samples(first + begun, last), 0
        render_time = time.monotonic()
        for made in dropwhile(lambda made: made.frame.index < first + begun, frames):
            for output, image in zip(outputs, _images(made), strict=False):
                if output.frames_done <= done:  # another one may have got further before it was killed
                    output.write(image, made.frame.time)
            samples.offer(made)
            done += 1
            swapped += bool(made.boxes)
            rate = (done - begun) / (time.monotonic() - render_time)
            yield Progress(f"Swapping {job.video.name}", done, total, "frames", f"{rate:.1f} frames/s")
        for output in outputs:  # all are whole before the first one gets its name
            output.complete()
    rate = (done - begun) / (time.monotonic() - start_time)
    return SwapResult(str(job.out), done - begun, swapped, rate, samples.write(job.out), _write_settings(job))


def _roles(
    job: SwapJob, tracks: TrackFile, analysis: Analysis, parts: list[Part], start: int
) -> Iterator[tuple[Frame, list[Role]]]:
    """Each frame from number `start` with its faces, who they become, and how opaque the swap is."""
    opacities = faded(tracks.frames(analysis, start - SETTLE), job.settings.look.fade)
    fades = (opacity for frame, opacity in opacities if frame.index >= start)
    followed = followed_frames(job.video, job.frames, tracks, analysis, start)
    for (frame, faces), opacity in zip(followed, fades, strict=True):
        yield frame, [Role(face, person, opacity[face.track]) for face, person in cast(parts, faces.faces)]


def _warm_up(tracks: TrackFile, analysis: Analysis, first: int, start: int, reach: float) -> int:
    """Where to begin, so that frame `start` has all of its neighbours within `reach` seconds."""
    known = list(takewhile(lambda frame: frame.index <= start, tracks.frames(analysis, start - SETTLE)))
    if not known:
        return start
    earliest = next(frame.index for frame in known if known[-1].time - frame.time <= reach)
    return max(first, first + (earliest - first) // _WARM_UP * _WARM_UP)


def _images(made: Converted) -> Iterator[Picture]:
    yield made.image
    if made.mask is not None:
        yield made.mask[..., None].repeat(3, axis=2)


def _swap_picture(job: SwapJob, swapper: Swapper, finder: FaceFinder, who: Embedding | None) -> Job[SwapResult]:
    start_time = time.monotonic()
    yield Progress(f"Swapping {job.video.name}", 0, 1, "frames")
    found, frames = finder.look_at([read_picture(job.video)])
    parts = parts_of(job, found, who, lambda: [faces for _, faces in frames])
    [(frame, faces)] = frames
    roles = [Role(face, person) for face, person in cast(parts, faces.faces)]
    made = next(converted([(frame, roles)], swapper, job.settings.look, job.mask_out is not None))
    for path, image in zip((job.out, job.mask_out), _images(made), strict=False):
        assert path is not None  # a mask is made only if there is a place for it
        write_picture(path, image, quality=95)
    path = sheet_path(job.out)
    write_picture(path, sheet([("before and after", [frame.image, made.image]), ("", close_up(made))], side=512))
    seconds = time.monotonic() - start_time
    return SwapResult(str(job.out), 1, 1, 1 / seconds, str(path), _write_settings(job))


def _open_output(job: SwapJob, path: Path, info: VideoInfo) -> SegmentedWriter | SequenceWriter:
    if path.suffix:
        return open_writer(path, info, encoding=job.settings.encoding, signature=_signature(job))
    return SequenceWriter(path, _signature(job))


def _write_settings(job: SwapJob) -> str:
    """The settings beside the output; the file's path."""
    path = job.out.with_name(f"{job.out.stem}.settings.toml")
    try:
        path.write_text(to_toml(job.settings), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Check the folder and its space") from error
    return str(path)


def _check_output(job: SwapJob) -> None:
    for path in (job.out, job.mask_out):
        if path is None:
            continue
        if path.exists() and not job.overwrite:
            raise OutputError(f"{path} exists already", "Name another output, or add --overwrite")
        if path.exists() and job.video.exists() and path.samefile(job.video):
            raise OutputError(f"{path} is the input itself", "Choose another name for the output")
        if is_picture(job.video) and path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise OutputError(
                f"{job.video} is a picture, and {path} is not", "Name an output that ends in .png or .jpg"
            )
    if job.out == job.mask_out:
        raise OutputError(f"{job.out} cannot hold both pictures and masks", "Name another --mask-out")


def _signature(job: SwapJob) -> str:
    """Names all that decides the output's pictures: input, model, settings. Part of what makes resuming safe."""
    read = "\n".join(fingerprint(path) for path in read_by(job) if path.is_file())
    return f"{job.video.resolve()}\n{read}\n{to_toml(job.settings)}{job.frames} {job.min_face}"


def read_by(job: SwapJob) -> list[Path]:
    """The files whose content decides the output, whether they are there or not."""
    checkpoint = latest_checkpoint(job.model)
    weights = [checkpoint / "weights.safetensors"] if checkpoint else []
    known = [identity_file(job.model)] if job.settings.map else []
    return [job.video, *weights, *known, *([picture] if (picture := job.settings.picture) else [])]
