"""Looking at a faceset: lists, contact sheets, single faces large, and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from faceswap.errors import FaceError
from faceswap.faces.curate import KEYS, OCCLUDED, column
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.quality import Measures
from faceswap.media.pictures import write_picture
from faceswap.types import AlignedFace, Picture
from faceswap.visuals.charts import Histogram, histograms
from faceswap.visuals.portrait import portrait
from faceswap.visuals.sheets import captioned, grid, sheet
from faceswap_pipelines.common.progress import Run
from faceswap_pipelines.curation.occluded import occluded_shares

COLUMNS = 12
SIDE = 112
"""Of a face on a contact sheet, in pixels."""
SheetRow = tuple[str, list[Picture]]

DECIMALS = {
    "size": 0,
    "sharpness": 3,
    "brightness": 0,
    "yaw": 1,
    "pitch": 1,
    "roll": 1,
    "eyes": 2,
    "mouth": 2,
    OCCLUDED: 2,
}
"""With which measures are printed."""


@dataclass(frozen=True, kw_only=True)
class FaceRow:
    """One face, as `faceswap faces list` prints it."""

    file: str
    frame: int
    seconds: float
    size: float
    """The longer side of its box, in pixels of the source."""
    sharpness: float
    reason: str | None
    group: int | None
    """As `faceswap faces cluster` numbered them."""

    @property
    def line(self) -> str:
        """For people."""
        start = f"{self.file}  frame {self.frame:6d}  {self.seconds:9.3f} s  {self.size:5.0f} px  {self.sharpness:.3f}"
        start += "" if self.group is None else f"  group {self.group}"
        return start if self.reason is None else f"{start}  {self.reason}"


@dataclass(frozen=True)
class SheetResult:
    """What the contact sheet shows."""

    sheet: str
    kept: int
    rejected: int


@dataclass(frozen=True, kw_only=True)
class ShownFace:
    """What is known about one face."""

    file: str
    measures: dict[str, float]
    presence: float
    reason: str | None


@dataclass(frozen=True)
class ShowResult:
    """The faces that the picture shows."""

    picture: str
    faces: list[ShownFace]


@dataclass(frozen=True, kw_only=True)
class StatsResult:
    """A faceset in figures; all but the counts are of its kept faces."""

    chart: str
    kept: int
    rejected: int
    reasons: dict[str, int]
    """Rejected faces by reason, the most frequent first."""
    sources: dict[str, int]
    """Kept faces by the file that they come from."""
    medians: dict[str, float]
    """Of each measure, and of the share that something covers, which is looked for in some faces."""
    spread: dict[str, tuple[float, float]]
    """The 5th and the 95th percentile of each measure."""
    hints: list[str]
    """What the faceset lacks for good training."""

    @property
    def text(self) -> str:
        """For people."""
        lines = [f"{self.kept} faces kept, {self.rejected} rejected"]
        lines += [f"  {count:6d}  {reason}" for reason, count in self.reasons.items()]
        lines += ["from", *(f"  {count:6d}  {path}" for path, count in self.sources.items())]

        lines.append("median, and where the middle 90% lie")
        for key, median in self.medians.items():
            low, high = self.spread[key]
            digits = DECIMALS[key]
            lines.append(f"  {key:10}  {median:8.{digits}f}   {low:.{digits}f} to {high:.{digits}f}")

        lines += [f"Hint: {hint}." for hint in self.hints]
        return "\n".join([*lines, f"Look at {self.chart}"])


def list_faces(folder: Path, rejected: bool) -> list[FaceRow]:
    """The kept faces of the faceset, or its rejected ones."""
    with Faceset.open(folder) as faceset:
        records = [record for record in faceset.records() if record.kept != rejected]

    return [
        FaceRow(
            file=r.file,
            frame=r.frame,
            seconds=float(r.time),
            size=r.measures.size,
            sharpness=r.measures.sharpness,
            reason=r.reason,
            group=r.cluster,
        )
        for r in records
    ]


def sheet_faces(folder: Path, out: Path, count: int, by: str | None, rejected: bool) -> SheetResult:
    """Write a contact sheet of `count` kept faces, evenly from all, and a row or two of rejected ones per reason.

    With `by`, a measure: `count` kept faces, evenly from all in the order of that measure, each with its value; with
    `rejected`: of the rejected ones only, as many per reason.
    """
    with Faceset.open(folder) as faceset:
        records = all_records(faceset)
        kept = [record for record in records if record.kept]

        if rejected and len(kept) == len(records):
            raise FaceError(f"the faceset {folder} has no rejected faces", "Leave out --rejected")
        if by is not None and not rejected and not kept:
            raise FaceError(f"the faceset {folder} keeps no face", "Look at the others with --rejected")

        rows = [] if rejected else rows_by(faceset, f"{len(kept)} kept", kept, count, by)
        if rejected or by is None:
            for reason, group in by_reason(records).items():
                title = f"{len(group)} rejected: {reason}"
                rows += rows_by(faceset, title, group, count if rejected else 2 * COLUMNS, by)

    write_picture(out, sheet(rows, side=SIDE))
    return SheetResult(str(out), len(kept), len(records) - len(kept))


def rows_by(faceset: Faceset, title: str, records: Sequence[FaceRecord], count: int, by: str | None) -> list[SheetRow]:
    """Rows of up to `count` of these faces, evenly from all; with `by` in its order, with its values."""
    captions = None
    if by is not None:
        values = column(measures_of(records), by)
        order = np.argsort(values, kind="stable")
        records, title = [records[i] for i in order], f"{title}, by {by}"
        captions = [f"{values[i]:.{DECIMALS[by]}f}" for i in order]
    return sheet_rows(faceset, title, records, count, captions)


def sheet_rows(
    faceset: Faceset, title: str, records: Sequence[FaceRecord], count: int, captions: Sequence[str] | None = None
) -> list[SheetRow]:
    """Rows of up to `count` of these faces, evenly from all, in this order; `captions`, one for each, stand on them."""
    chosen = evenly(len(records), count)
    pictures = [faceset.picture(records[i]) for i in chosen]
    if captions is not None:
        pictures = [captioned(picture, captions[i], SIDE) for i, picture in zip(chosen, pictures, strict=True)]
    lines = [pictures[i : i + COLUMNS] for i in range(0, len(pictures), COLUMNS)]
    return [(title if number == 0 else "", line) for number, line in enumerate(lines)] or [(title, [])]


def show_faces(folder: Path, out: Path, files: Sequence[str], count: int) -> ShowResult:
    """Write a picture of single faces, large, with all that is known of them: these files, or `count` evenly."""
    with Faceset.open(folder) as faceset:
        if files:
            records = faceset.named(files)
        else:
            kept = [record for record in all_records(faceset) if record.kept]
            records = [kept[i] for i in evenly(len(kept), count)]
            if not records:
                raise FaceError(f"the faceset {folder} keeps no face", f"Look: faceswap faces list {folder} --rejected")

        portraits = [_portrait(faceset, record) for record in records]
    write_picture(out, grid(portraits, columns=2))

    faces = [
        ShownFace(file=r.file, measures=asdict(r.measures), presence=r.face.presence, reason=r.reason) for r in records
    ]
    return ShowResult(str(out), faces)


def _portrait(faceset: Faceset, record: FaceRecord) -> Picture:
    known = {key: f"{value:.{DECIMALS[key]}f}" for key, value in asdict(record.measures).items()}
    head = ", ".join(f"{key} {known[key]}" for key in ("yaw", "pitch", "roll"))
    rest = ", ".join(f"{key} {text}" for key, text in known.items() if key not in ("yaw", "pitch", "roll"))

    lines = (
        record.file,
        f"frame {record.frame}, {float(record.time):.2f} s, track {record.face.track}, "
        + (f"rejected: {record.reason}" if record.reason else "kept"),
        f"{head} (degrees); presence {record.face.presence:.3f}",
        rest,
    )

    image = faceset.picture(record)
    return portrait(AlignedFace(image, record.to_crop, record.face), lines)


def stats_faces(folder: Path, out: Path, device: str = "auto") -> Run[StatsResult]:
    """Count and measure a faceset, and write histograms of what matters for training."""
    with Faceset.open(folder) as faceset:
        records, sources = all_records(faceset), faceset.sources()
        kept = [record for record in records if record.kept]
        some = [kept[i] for i in evenly(len(kept), _LOOKED_AT)]
        occluded = yield from occluded_shares(faceset, some, device)

    measures = measures_of(kept)
    per_source = Counter(record.source for record in kept)
    columns = {key: column(measures, key) for key in KEYS} | {OCCLUDED: occluded} if kept else {}

    panels = [
        Histogram(
            title="yaw, degrees", values=column(measures, "yaw"), low=-60, high=60, ends=("looks left", "looks right")
        ),
        Histogram(
            title="pitch, degrees", values=column(measures, "pitch"), low=-40, high=40, ends=("looks up", "looks down")
        ),
        Histogram(title="sharpness", values=column(measures, "sharpness"), low=0, high=0.7, ends=("soft", "sharp")),
        Histogram(title="mouth", values=column(measures, "mouth"), low=0, high=0.4, ends=("shut", "open")),
        Histogram(title="eyes", values=column(measures, "eyes"), low=0.1, high=0.5, ends=("shut", "open")),
        Histogram(title="brightness", values=column(measures, "brightness"), low=0, high=255, ends=("dark", "bright")),
    ]

    write_picture(out, histograms(panels, f"{len(kept)} faces kept"))

    return StatsResult(
        chart=str(out),
        kept=len(kept),
        rejected=len(records) - len(kept),
        reasons={reason: len(group) for reason, group in by_reason(records).items()},
        sources={str(source.path): per_source[source.id] for source in sources},
        medians={key: float(np.median(values)) for key, values in columns.items()},
        spread={key: (float(np.percentile(v, 5)), float(np.percentile(v, 95))) for key, v in columns.items()},
        hints=coverage_hints(measures) + occlusion_hints(occluded, folder),
    )


# What a faceset should show, and how much of it at least: (the share of faces, what is missing, how to mend it).
_TURNED, _NODDED = 15.0, 10.0  # degrees
_SPEAKING = 0.06  # see `Measures.mouth`
_SHUT = 0.75  # times the median opening of the eyes
_SOFT = 0.06  # see `Measures.sharpness`
_SMALL = 128.0  # pixels
_FEW, _RARE = 0.05, 0.01
_COVERED = 0.2  # of a face
_LOOKED_AT = 200  # faces, evenly from all, that tell how many are covered


def coverage_hints(measures: Sequence[Measures]) -> list[str]:
    """What faces with these measures lack, for a model that is to learn a person from them; at best nothing."""
    if not measures:
        return ["no face is kept"]

    yaw, pitch, eyes, mouth = (column(measures, key) for key in ("yaw", "pitch", "eyes", "mouth"))
    least = {
        "few faces look to the left": (yaw < -_TURNED, _FEW),
        "few faces look to the right": (yaw > _TURNED, _FEW),
        "few faces look up": (pitch < np.median(pitch) - _NODDED, _FEW),
        "few faces look down": (pitch > np.median(pitch) + _NODDED, _FEW),
        "few faces have an open mouth": (mouth > _SPEAKING, 2 * _FEW),
        "few faces have a shut mouth": (mouth < _SPEAKING, 2 * _FEW),
        "hardly any face blinks": (eyes < _SHUT * np.median(eyes), _RARE),
    }

    hints = [f"{what} ({100 * hit.mean():.0f}%)" for what, (hit, share) in least.items() if hit.mean() < share]
    if len(measures) < 250:
        hints.insert(0, f"{len(measures)} faces are few: 500 to 2000 make a better model")

    if np.median(column(measures, "sharpness")) < _SOFT:
        hints.append("most faces are soft: use sharper footage")
    if np.median(column(measures, "size")) < _SMALL:
        hints.append(f"most faces are small, under {_SMALL:.0f} px: a larger picture size than that teaches nothing")

    return hints


def occlusion_hints(occluded: Float[np.ndarray, " faces"], folder: Path) -> list[str]:
    """What there is to say of faces of which such shares are covered."""
    share = float((occluded > _COVERED).mean()) if len(occluded) else 0.0
    if share < _FEW:
        return []
    remedy = f"leave them out with faceswap faces reject {folder} --where 'occluded>{_COVERED:g}'"
    return [f"something covers much of {100 * share:.0f}% of the faces: training passes over it, or {remedy}"]


def all_records(faceset: Faceset) -> list[FaceRecord]:
    """All faces. Raises FaceError if there is none."""
    records = faceset.records()
    if not records:
        raise FaceError(f"the faceset {faceset.folder} is empty", "Extract faces into it first")
    return records


def by_reason(records: Iterable[FaceRecord]) -> dict[str, list[FaceRecord]]:
    """The rejected faces by reason, the most frequent first."""
    rejected = [record for record in records if record.reason is not None]
    counts = Counter(str(record.reason) for record in rejected)
    return {reason: [record for record in rejected if record.reason == reason] for reason, _ in counts.most_common()}


def measures_of(records: Iterable[FaceRecord]) -> list[Measures]:
    """Their measures."""
    return [record.measures for record in records]


def evenly(total: int, count: int) -> list[int]:
    """`count` places of `total`, or all, at even distances."""
    return sorted(set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()))
