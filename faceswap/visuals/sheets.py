"""Pictures of pictures: contact sheets that show at a glance what came out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from faceswap.types import Picture

_GAP, _LINE = 6, 26
_PAPER, _INK = (250, 250, 248), (40, 40, 44)


def sheet(rows: Sequence[tuple[str, Sequence[Picture]]], side: int = 160) -> Picture:
    """Rows of pictures, each with its title above it, or close to the row before if that is empty.

    Every picture is fitted into `side` x `side` px, RGB uint8.
    """
    columns = max(1, *(len(pictures) for _, pictures in rows))
    width = _GAP + columns * (side + _GAP)
    bands: list[Picture] = []

    for title, pictures in rows:
        band = np.full((side + _GAP, width, 3), _PAPER, np.uint8)
        for column, picture in enumerate(pictures):
            fitted = fit(picture, side)
            top, left = (side - fitted.shape[0]) // 2, (side - fitted.shape[1]) // 2
            x = _GAP + column * (side + _GAP) + left
            band[top : top + fitted.shape[0], x : x + fitted.shape[1]] = fitted

        bands += [_title(title, width), band] if title else [band]

    return np.vstack(bands)


def grid(pictures: Sequence[Picture], columns: int) -> Picture:
    """Pictures of one size side by side, `columns` in a row, as large as they are."""
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)

    paper = np.full((_GAP + rows * (height + _GAP), _GAP + columns * (width + _GAP), 3), _PAPER, np.uint8)
    for place, picture in enumerate(pictures):
        y, x = (_GAP + place // columns * (height + _GAP), _GAP + place % columns * (width + _GAP))
        paper[y : y + height, x : x + width] = picture

    return paper


def fit(picture: Picture, side: int) -> Picture:
    """The picture enlarged or reduced so that its longer side is `side` px."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, size, interpolation=how).astype(np.uint8, copy=False)


def captioned(picture: Picture, text: str, side: int) -> Picture:
    """The picture fitted into `side` x `side` px, with a short text in its lower left corner."""
    fitted = np.ascontiguousarray(fit(picture, side))
    foot = (4, fitted.shape[0] - 5)
    for ink, width in ((_INK, 3), (_PAPER, 1)):  # light letters with a dark edge can be read on anything
        cv2.putText(fitted, text, foot, cv2.FONT_HERSHEY_SIMPLEX, side / 250, ink, width, cv2.LINE_AA)
    return fitted


def _title(text: str, width: int) -> Picture:
    band = np.full((_LINE, width, 3), _PAPER, np.uint8)
    cv2.putText(band, text, (_GAP, _LINE - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return band
