"""Extract: from videos and pictures of a person to a faceset."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from faceswap.database import lock
from faceswap.errors import FaceError, FaceswapError, MediaError, OutputError
from faceswap.faces.align import align, natural_side
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.person import STRANGER, dominant_identity, pick, tracks_of
from faceswap.faces.quality import Measures, measure, reason_to_reject
from faceswap.faces.trackfile import Analysis, TrackFile
from faceswap.files import sweep
from faceswap.streams import batched
from faceswap.types import AlignedFace, Embedding, Face, Frame, FrameFaces, Picture
from faceswap_pipelines.common.analyse import FaceFinder, analyse, batch_of, followed_frames
from faceswap_pipelines.common.cpu import one_thread_each
from faceswap_pipelines.common.inputs import Footage, list_media, other_files
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.extraction.job import ExtractJob, ExtractResult

_REPEATED = "like the face before it"
_SIDES = 128, 768  # pixels of the smallest and the largest crop, where their faces decide; all are measured at 128
_COMMIT_EVERY = 16  # frames; what a killed extraction has to cut again at most


def extract(job: ExtractJob, models: Models | None = None) -> Run[ExtractResult]:
    """Add one person's faces from `job.inputs` to the faceset `job.out`; what was done before is not done again.

    Two passes: all faces are found and followed; then it is decided who the person is, and the faces are cut out.
    An input that cannot be read is noted and passed over, unless it is the only one. `models` are those that this
    process has loaded already.
    Raises FaceError if no face is kept at all.
    """
    inputs, others = list_media(job.inputs, as_frames=job.frame_rate is not None), other_files(job.inputs)
    before = set(job.out.iterdir()) if job.out.is_dir() else None
    try:
        return (yield from _extract(job, models, inputs, others))
    except FaceswapError:
        _leave_nothing(job.out, before)
        raise


def _leave_nothing(out: Path, before: set[Path] | None) -> None:
    """Remove what an extraction has made that found nothing at all; `before`: what was in its folder, if that was."""
    if out.is_symlink() or not (out / "faceset.db").is_file() or (before and out / "faceset.db" in before):
        return
    try:
        held = lock(out / ".lock", OutputError("another extraction goes on there", "Leave it alone"))
    except OutputError:
        return

    with closing(held):
        with Faceset.open(out) as faceset:
            if faceset.records():
                return
        for path in set(out.iterdir()) - (before or set()):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    if before is None:
        with suppress(OSError):  # somebody has just put something there
            out.rmdir()


def _extract(
    job: ExtractJob, models: Models | None, inputs: Sequence[Path], others: Sequence[Path]
) -> Run[ExtractResult]:
    finder = (models or Models()).finder(job.device, job.min_face)

    frames, start = 0, time.monotonic()
    failed = {str(path): "it is neither a video nor a picture" for path in others}
    taken = OutputError(f"faces are being extracted into {job.out} already", "Wait for that to end, or stop it first")

    with (
        Faceset.create(job.out, job.size) as faceset,
        closing(lock(job.out / ".lock", taken)),
        TrackFile(job.out / "tracks.db") as tracks,
    ):
        sweep(job.out / "faces")
        analyses: dict[Path, Analysis] = {}

        for path in inputs:
            try:
                source = faceset.source(path, job.frames, job.extraction_key) if path.exists() else None
                if source and source.finished:
                    faceset.finish(source)  # it may have been extracted in another way since
                    continue
                analyses[path] = yield from analyse(_footage(job, path), tracks, finder)
            except MediaError as error:
                if len(inputs) == 1:
                    raise
                failed[str(path)] = str(error)

        person = None if job.everybody else _person(job, faceset, tracks, analyses, finder)
        for path, analysis in analyses.items():
            if job.everybody:
                person = dominant_identity(tracks.tracks(analysis))
            frames += yield from _Cutter(job, faceset, tracks, path=path, analysis=analysis, person=person).cut()

        tracks.delete()
        records = faceset.records()

    reasons = [record.reason for record in records if record.reason]
    counts = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    kept = len(records) - len(reasons)

    if kept == 0:
        raise FaceError(*_why_none(inputs, counts, failed))
    rate = frames / (time.monotonic() - start)

    return ExtractResult(
        faceset=str(job.out), frames=frames, frames_per_second=rate, kept=kept, rejected=counts, failed=failed
    )


def _footage(job: ExtractJob, path: Path) -> Footage:
    return Footage(path=path, frames=job.frames, frame_rate=job.frame_rate)


def _person(
    job: ExtractJob, faceset: Faceset, tracks: TrackFile, analyses: dict[Path, Analysis], finder: FaceFinder
) -> Embedding | None:
    """Whose faces are wanted: as the job says, or as the faceset knows, or whoever is seen most; None if nobody is."""
    if job.person is not None:
        person: Embedding | None = finder.person_in(job.person)
    else:
        person = faceset.person
        if person is None:
            person = dominant_identity([track for analysis in analyses.values() for track in tracks.tracks(analysis)])

    if person is not None and (job.person is not None or faceset.person is None):
        faceset.set_person(person)
    return person


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """One face of a frame, cut out."""

    frame: Frame
    aligned: AlignedFace
    measures: Measures
    wanted: bool
    """Whether it is the person whose faces are collected."""


class _Cutter:
    """Turns the faces of one video or picture into crops and records."""

    def __init__(
        self,
        job: ExtractJob,
        faceset: Faceset,
        tracks: TrackFile,
        path: Path,
        analysis: Analysis,
        person: Embedding | None,
    ) -> None:
        self._job, self._faceset, self._footage = job, faceset, _footage(job, path)
        self._source = faceset.source(path, job.frames, job.extraction_key)
        self._wanted = () if person is None else tracks_of(person, tracks.tracks(analysis))
        self._total = tracks.count(analysis, self._source.next_frame)
        self._frames = followed_frames(self._footage, tracks, analysis, self._source.next_frame)

        last = faceset.last_kept(self._source)
        self._before: Picture | None = None
        if last and job.skip_similar and faceset.path(last).is_file():  # it may have been deleted by hand
            self._before = faceset.picture(last)

    def cut(self) -> Run[int]:
        """Work through all frames; how many there were."""
        source, title = self._source, f"Cutting faces from {self._footage.path.name}"
        done = 0

        with ThreadPoolExecutor() as pool:
            for some in batched(self._frames, batch_of(self._footage, _COMMIT_EVERY)):
                with one_thread_each():
                    measured = [face for faces in pool.map(self._measured, *zip(*some, strict=True)) for face in faces]
                    records = [(face.aligned, self._record(face)) for face in measured]
                    self._faceset.add(source, records, some[-1][0].index + 1)
                done += len(some)
                del some, measured, records  # large frames: they may go before the next ones come
                yield Progress(title=title, done=done, total=self._total, unit="frames")

        self._faceset.finish(source)
        return done

    def _measured(self, frame: Frame, followed: FrameFaces) -> list[_Measured]:
        main = pick(followed.faces, self._wanted)
        aligned = [align(frame.image, face, self._side_of(face)) for face in followed.faces]
        return [
            _Measured(frame=frame, aligned=face, measures=measure(face), wanted=face.face is main) for face in aligned
        ]

    def _side_of(self, face: Face) -> int:
        """Of its crop, in pixels."""
        least, most = _SIDES
        return self._faceset.crop_size or max(least, min(most, round(natural_side(face.points))))

    def _record(self, face: _Measured) -> FaceRecord:
        frame, aligned = face.frame, face.aligned

        stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in self._source.path.stem)[:60]
        file = f"{self._source.id:03d}_{stem}_{frame.index:06d}_{aligned.face.track}.jpg"

        return FaceRecord(
            file=file,
            source=self._source.id,
            frame=frame.index,
            time=frame.time,
            face=aligned.face,
            to_crop=aligned.to_crop,
            measures=face.measures,
            reason=self._reason(face),
        )

    def _reason(self, face: _Measured) -> str | None:
        """Why a face is not to be learnt from. Who it is comes last: of a blurred face that is hard to say."""
        height, width = face.frame.image.shape[:2]

        reason = reason_to_reject(face.aligned, face.measures, width, height, self._job.limits)
        if reason is not None:
            return reason

        if not face.wanted:
            return STRANGER

        if self._job.skip_similar:
            picture = face.aligned.image
            if self._before is not None and _difference(picture, self._before) < self._job.skip_similar:
                return _REPEATED
            self._before = picture

        return None


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
        remedy = "Use sharper footage with a larger face"
        if STRANGER in rejected:
            remedy += ", or name a picture of the person with --person"
        return f"no face of {names} is good enough ({listed})", remedy
    return f"no face was found in {names}", "Use footage that shows a face, or look for smaller ones with --min-face"
