"""What the page shows of a project's faces and models.

Loads torch: imported when it is first asked for, so that the page opens at once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from faceswap.errors import FaceswapError
from faceswap.faces.curate import KEYS, column
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.media.kinds import is_picture
from faceswap.media.pictures import read_picture
from faceswap.media.video import probe, sample_frames
from faceswap.model.folder import latest_checkpoint, read_config
from faceswap.types import Picture
from faceswap.visuals.sheets import fit
from faceswap_app.charts import Points, histogram
from faceswap_app.excerpts import SECONDS
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.curation.curate import restore_faces
from faceswap_pipelines.curation.faces import DECIMALS, by_reason, coverage_hints, measures_of
from faceswap_pipelines.curation.reject import BY_HAND
from faceswap_pipelines.swapping.job import SwapJob, settings_from
from faceswap_pipelines.swapping.preview import PreviewFrame, preview_frame
from faceswap_pipelines.swapping.run import swap
from faceswap_pipelines.training.record import read_stats

PAGE = 56
"""Faces that are shown at once."""
KEPT, REJECTED, EVERY = "kept", "rejected", "all"
"""Which faces are shown; besides these: a reason for which some are rejected."""
BY_TIME = "time"
ORDERS = (BY_TIME, *KEYS)

_SIDE = 128  # of a face on the page, in pixels
_FULL, _PALE = (255, 214, 64), (190, 190, 190)  # of outlines, RGB
_DIMMED = 0.3  # share of a rejected face's picture that is left of it
_MODELS = Models(kept=3)
"""The networks of previews, kept for the next one: of as many models as previews are made at once."""


@dataclass(frozen=True)
class FacePage:
    """Some of the faces of a person, and what there is to choose from."""

    files: list[str]
    """Of those shown."""
    total: int
    """That are meant, on all pages."""
    filters: list[tuple[str, str]]
    """What can be shown: a text and its value."""


def faces(folder: Path, wanted: str, by: str, downwards: bool, page: int) -> FacePage:
    """One page of a person's faces."""
    with Faceset.open(folder) as faceset:
        records = faceset.records()

    kept = [record for record in records if record.kept]
    reasons = by_reason(records)
    choices = {KEPT: kept, REJECTED: [r for r in records if not r.kept], EVERY: records, **reasons}

    filters = [(f"{name} ({len(choices[name]):,})", name) for name in (KEPT, REJECTED, EVERY)]
    filters += [(f"rejected: {reason} ({len(group):,})", reason) for reason, group in reasons.items()]

    chosen = choices.get(wanted, [])
    if by in KEYS and chosen:
        order = np.argsort(column(measures_of(chosen), by), kind="stable")
        chosen = [chosen[i] for i in order]
    chosen = chosen[::-1] if downwards else chosen

    files = [record.file for record in chosen[page * PAGE : (page + 1) * PAGE]]
    return FacePage(files, len(chosen), filters)


def pictures(folder: Path, files: Sequence[str], by: str) -> list[tuple[Picture, str]]:
    """The faces of these files for people to look at, each with a caption; rejected ones are dimmed."""
    with Faceset.open(folder) as faceset:
        known = {record.file: record for record in faceset.records()}
        return [_picture(faceset, known[file], by) for file in files if file in known]


def _picture(faceset: Faceset, record: FaceRecord, by: str) -> tuple[Picture, str]:
    image = cv2.resize(faceset.picture(record), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if record.reason is not None:
        return (image * _DIMMED + 110 * (1 - _DIMMED)).astype(np.uint8), f"✕ {record.reason}"
    return image.astype(np.uint8), f"{getattr(record.measures, by):.{DECIMALS[by]}f}" if by in KEYS else ""


def toggle(folder: Path, file: str) -> None:
    """Reject a face that is kept, and keep one that is rejected; `undo` takes it back."""
    with Faceset.open(folder) as faceset:
        [record] = faceset.named([file])
        faceset.mark(f"{'reject' if record.kept else 'restore'} by hand", {file: BY_HAND if record.kept else None})


def undo(folder: Path) -> str:
    """Take back the last change; what it was, in words."""
    result = restore_faces(folder)
    return f"Took back: {result.command}. {result.changed} faces changed, {result.kept} are kept now."


def counts(folder: Path) -> tuple[int, int]:
    """How many faces are kept, and how many there are; none of a person without a faceset."""
    try:
        with Faceset.open(folder) as faceset:
            records = faceset.records()
    except FaceswapError:
        return 0, 0
    return sum(record.kept for record in records), len(records)


def chart(folder: Path) -> str:
    """Histograms of the kept faces as HTML, and what they lack."""
    with Faceset.open(folder) as faceset:
        measures = measures_of(faceset.records(kept_only=True))

    panels = [
        ("Turned", "yaw", -60, 60, ("left", "° right")),
        ("Nodded", "pitch", -40, 40, ("up", "° down")),
        ("Sharpness", "sharpness", 0, 0.7, ("soft", "sharp")),
        ("Mouth", "mouth", 0, 0.4, ("shut", "open")),
        ("Eyes", "eyes", 0.1, 0.5, ("shut", "open")),
        ("Size", "size", 0, 512, ("small", "px large")),
    ]

    drawn = "".join(histogram(title, column(measures, key), low, high, ends) for title, key, low, high, ends in panels)
    hints = "".join(f"<li>{hint[:1].upper()}{hint[1:]}.</li>" for hint in coverage_hints(measures))

    return f'<div class="histograms">{drawn}</div>' + (f'<ul class="hints">{hints}</ul>' if hints else "")


@dataclass(frozen=True)
class ModelFacts:
    """What a model is, and how far it has come."""

    text: str
    persons: tuple[str, ...]
    ready: bool
    """Whether it can be swapped with."""


def model(folder: Path) -> ModelFacts:
    """Raises ModelError."""
    config = read_config(folder).model
    text = f"makes faces of {config.output_size} px"
    text += "" if config.latent == "plain" else f", {config.latent} latent"
    text += "" if config.decoder == "separate" else ", one decoder for all"

    lines = read_stats(folder / "stats.jsonl")
    if lines:
        text += f"; trained for {lines[-1]['seconds'] / 60:.1f} minutes, {lines[-1]['step']:,} steps"

    return ModelFacts(text, config.persons, latest_checkpoint(folder) is not None)


def losses(folder: Path, names: Mapping[str, str]) -> dict[str, Points]:
    """The loss over the minutes, by the persons' names."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for line in read_stats(folder / "stats.jsonl"):
        for person, loss in line.get("losses", {}).items():
            if loss.get("total") is not None:
                lines.setdefault(names.get(person, person), []).append((line["seconds"] / 60, float(loss["total"])))
    return dict(lines)


def frame_count(clip: Path) -> int:
    """How many frames a video has, or might have; a picture has one. Raises MediaError."""
    return 1 if is_picture(clip) else max(1, probe(clip).frame_count or 1)


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A clip at a glance."""

    picture: Picture
    caption: str


def thumbnail(clip: Path) -> Thumbnail:
    """The middle of a clip, and how long and large it is; a grey picture of one that cannot be read."""
    return _thumbnail(clip, clip.stat().st_mtime_ns)


@functools.lru_cache(maxsize=512)
def _thumbnail(clip: Path, _changed: int) -> Thumbnail:
    try:
        if is_picture(clip):
            picture = read_picture(clip)
            height, width = picture.shape[:2]
            return Thumbnail(picture=fit(picture, _SIDE), caption=f"{width}x{height} · {clip.name}")

        info, [middle] = probe(clip), sample_frames(clip, 1)
    except (FaceswapError, ValueError) as error:
        return Thumbnail(picture=np.full((_SIDE, _SIDE, 3), 128, np.uint8), caption=f"{clip.name}: {error}")

    seconds = float(info.duration or 0)
    caption = f"{seconds // 60:.0f}:{seconds % 60:02.0f} · {clip.name} · {info.width}x{info.height}"
    return Thumbnail(picture=fit(middle.image, _SIDE), caption=caption)


def timecode(clip: Path, index: int) -> str:
    """When a frame is shown, as editing programs say it: hours, minutes, seconds, and frames counted from 00."""
    if is_picture(clip):
        return ""
    a_second = max(1, round(probe(clip).frame_rate))
    seconds, frames = divmod(index, a_second)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


def seconds_at(clip: Path, index: int) -> float:
    """When about a frame of a video is shown; a picture is always."""
    return 0.0 if is_picture(clip) else float(index / probe(clip).frame_rate)


def before_and_after(
    clip: Path, model: Path, settings: Mapping[str, object], index: int, min_face: int | None = None
) -> PreviewFrame:
    """A frame of a video, or a picture, and the same swapped. Raises FaceswapError."""
    swap_settings = settings_from(None, settings)
    job = SwapJob(video=clip, model=model, out=clip, settings=swap_settings, min_face=min_face)
    return preview_frame(job, index, _MODELS)


def excerpt(
    clip: Path, model: Path, settings: Mapping[str, object], index: int, out: Path, *, min_face: int | None = None
) -> None:
    """Some seconds of a video from a frame on, swapped as the whole would be. Raises FaceswapError."""
    stop = index + max(1, round(SECONDS * float(probe(clip).frame_rate)))
    swap_settings = settings_from(None, settings)
    frames = (index, min(stop, frame_count(clip)))

    run(
        swap(
            SwapJob(video=clip, model=model, out=out, settings=swap_settings, frames=frames, min_face=min_face), _MODELS
        )
    )


def outlined(shown: PreviewFrame) -> Picture:
    """The frame before, with a numbered box round each face: full for those that are replaced, pale for others."""
    picture = shown.before.copy()
    thick = max(2, round(max(picture.shape[:2]) / 400))

    for number, ((left, top, right, bottom), person) in enumerate(shown.faces, 1):
        ink = _PALE if person is None else _FULL
        corner = round(left), round(top)
        cv2.rectangle(picture, corner, (round(right), round(bottom)), ink, thick)
        foot = (corner[0] + 2 * thick, corner[1] + 12 * thick)
        cv2.putText(picture, str(number), foot, cv2.FONT_HERSHEY_SIMPLEX, thick / 2.4, ink, thick, cv2.LINE_AA)

    return picture


def warm_up() -> int:
    """Load what every preview needs, so that the first one need not wait for it; how many GPUs there are."""
    _MODELS.finder("auto", None)
    return torch.cuda.device_count()
