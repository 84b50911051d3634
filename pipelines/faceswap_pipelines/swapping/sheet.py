"""Pictures of a swap before and after, for people to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from faceswap.files import beside
from faceswap.swapping.convert import Converted
from faceswap.types import Picture, Seal
from faceswap.visuals.sheets import fit, sheet
from faceswap_pipelines.common.marks import write_marked

_COLUMNS, _SIDE = 6, 256


class Samples:
    """Some frames before and after, evenly from all, with a close look at a face of each."""

    def __init__(self, first: int, last: int | None) -> None:
        wanted = np.linspace(first, max(first, (last or first + 250) - 1), _COLUMNS + 2)[1:-1]
        self._wanted = {round(float(index)) for index in wanted}
        self._taken: dict[int, tuple[Picture, ...]] = {}

    def taken_from(self, frames: Iterable[Converted]) -> Iterator[Converted]:
        """The same frames, after those that are wanted have been taken, without the pictures as they were: large ones
        are not to wait in a queue."""
        for made in frames:
            self.take(made)
            yield without_original(made)
            del made  # it may go before the next one comes

    def take(self, made: Converted) -> None:
        """Keep a frame, small, if it is wanted."""
        if made.frame.index in self._wanted:
            pictures = (made.frame.image, made.image, *close_up(made))
            self._taken[made.frame.index] = tuple(fit(picture, _SIDE) for picture in pictures)

    def missing(self, stop: int) -> list[int]:
        """The numbers of frames before `stop` that are wanted and were not there."""
        return sorted(index for index in self._wanted - self._taken.keys() if index < stop)

    def write(self, out: Path, seal: Seal) -> str:
        """Writes the sheet beside `out`; its path, or nothing if no frame was taken."""
        return write_sheet(out, [self._taken[index] for index in sorted(self._taken)], seal)


def without_original(made: Converted) -> Converted:
    """The same without the picture as it was, for those who only write it."""
    return replace(made, frame=replace(made.frame, image=made.image))


def write_sheet(out: Path, taken: list[tuple[Picture, ...]], seal: Seal) -> str:
    """A sheet with a column for each (before, after, face before, face after), beside `out`; its path."""
    if not taken:
        return ""
    before, after, close_before, close_after = (list(row) for row in zip(*taken, strict=True))
    rows = [("before", before), ("after", after), ("face before", close_before), ("face after", close_after)]
    path = sheet_path(out)
    write_marked(path, sheet(rows, side=_SIDE), seal)
    return str(path)


def close_up(made: Converted) -> list[Picture]:
    """The nearest of the swapped faces, before and after; the whole picture if there is none."""
    height, width = made.image.shape[:2]
    left, top, right, bottom = made.boxes[-1] if made.boxes else (0, 0, width, height)
    return [image[top:bottom, left:right] for image in (made.frame.image, made.image)]


def sheet_path(out: Path) -> Path:
    """Where the sheet of an output lies."""
    return beside(out.with_suffix(""), ".sheet.png")
