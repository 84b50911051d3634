"""What the page shows of a project's faces and models.

Loads torch: imported when it is first asked for, so that the page opens at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from faceswap.errors import FaceswapError
from faceswap.faces.curate import KEYS, column
from faceswap.faces.faceset import FaceRecord, Faceset
from faceswap.media.kinds import is_picture
from faceswap.media.video import probe
from faceswap.model.folder import latest_checkpoint, read_config
from faceswap.types import Picture
from faceswap_app.charts import Points, histogram
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.curation.curate import restore_faces
from faceswap_pipelines.curation.faces import DECIMALS, by_reason, coverage_hints, measures_of
from faceswap_pipelines.curation.reject import BY_HAND
from faceswap_pipelines.swapping.job import SwapJob, settings_from
from faceswap_pipelines.swapping.preview import preview_frame
from faceswap_pipelines.training.record import read_stats

PAGE = 56
"""Faces that are shown at once."""
KEPT, REJECTED, EVERY = "kept", "rejected", "all"
"""Which faces are shown; besides these: a reason for which some are rejected."""
BY_TIME = "time"
ORDERS = (BY_TIME, *KEYS)

_SIDE = 128  # of a face on the page, in pixels
_DIMMED = 0.3  # share of a rejected face's picture that is left of it
_MODELS = Models()
"""The networks of previews, kept for the next one."""


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
    text = f"{config.size} px, {config.latent} latent, {config.decoder} decoder{'s' * (config.decoder == 'separate')}"
    lines = read_stats(folder / "stats.jsonl")
    if lines:
        text += f"; {lines[-1]['step']:,} steps in {lines[-1]['seconds'] / 60:.1f} minutes so far"
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


def before_and_after(
    clip: Path, model: Path, settings: Mapping[str, object], index: int
) -> tuple[Picture, Picture, bool]:
    """A frame of a video, or a picture, the same swapped, and whether a face in it was. Raises FaceswapError."""
    made = preview_frame(
        SwapJob(video=clip, model=model, out=clip, settings=settings_from(None, settings)), index, _MODELS
    )
    return made.frame.image, made.image, bool(made.boxes)


def warm_up() -> None:
    """Load what every preview needs, so that the first one need not wait for it."""
    _MODELS.finder("auto", None)
