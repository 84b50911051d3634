"""Looking at a faceset: lists and contact sheets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceswap.errors import FaceError
from faceswap.faces.faceset import FaceRecord, Faceset
from faceswap.media.pictures import read_picture, write_picture
from faceswap.quality.sheets import sheet
from faceswap.types import Picture

_COLUMNS = 12


@dataclass(frozen=True)
class FaceRow:
    """One face, as `faceswap faces list` prints it."""

    file: str
    frame: int
    seconds: float
    width: float
    """Of its box, in pixels of the source."""
    sharpness: float
    reason: str | None

    @property
    def line(self) -> str:
        """For people."""
        start = f"{self.file}  frame {self.frame:6d}  {self.seconds:9.3f} s  {self.width:5.0f} px  {self.sharpness:.3f}"
        return start if self.reason is None else f"{start}  {self.reason}"


@dataclass(frozen=True)
class ShowResult:
    """What the contact sheet shows."""

    sheet: str
    kept: int
    rejected: int


def list_faces(folder: Path, rejected: bool) -> list[FaceRow]:
    """The kept faces of the faceset, or its rejected ones."""
    with Faceset.open(folder) as faceset:
        records = [record for record in faceset.records() if record.kept != rejected]
    return [FaceRow(r.file, r.frame, float(r.time), r.measures.size, r.measures.sharpness, r.reason) for r in records]


def show_faces(folder: Path, out: Path, count: int) -> ShowResult:
    """Write a contact sheet of `count` kept faces, evenly from all, and a row or two of rejected ones per reason."""
    with Faceset.open(folder) as faceset:
        records = faceset.records()
        if not records:
            raise FaceError(f"the faceset {folder} is empty", "Extract faces into it first")
        kept = [record for record in records if record.kept]
        rows = _rows(faceset, f"{len(kept)} kept", kept, count)
        for reason in sorted({record.reason for record in records if record.reason}):
            group = [record for record in records if record.reason == reason]
            rows += _rows(faceset, f"{len(group)} rejected: {reason}", group, 2 * _COLUMNS)
    write_picture(out, sheet(rows, side=112))
    return ShowResult(str(out), len(kept), len(records) - len(kept))


def _rows(faceset: Faceset, title: str, records: list[FaceRecord], count: int) -> list[tuple[str, list[Picture]]]:
    chosen = np.unique(np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int))
    pictures = [read_picture(faceset.path(records[i])) for i in chosen]
    lines = [pictures[i : i + _COLUMNS] for i in range(0, len(pictures), _COLUMNS)]
    return [(title if number == 0 else "", line) for number, line in enumerate(lines)] or [(title, [])]
