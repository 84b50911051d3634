"""Pictures of pictures: contact sheets that show at a glance what came out."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from faceswap.types import Picture

_GAP, _LINE = 6, 26
_PAPER, _INK = (250, 250, 248), (40, 40, 44)


def sheet(rows: Sequence[tuple[str, Sequence[Picture]]], side: int = 160) -> Picture:
    """Rows of pictures, each with a title above it; every picture is fitted into `side` x `side` px, RGB uint8."""
    columns = max(len(pictures) for _, pictures in rows)
    width = _GAP + columns * (side + _GAP)
    bands = []
    for title, pictures in rows:
        band = np.full((side + _GAP, width, 3), _PAPER, np.uint8)
        for column, picture in enumerate(pictures):
            fitted = fit(picture, side)
            top, left = (side - fitted.shape[0]) // 2, (side - fitted.shape[1]) // 2
            x = _GAP + column * (side + _GAP) + left
            band[top : top + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        bands += [_title(title, width), band]
    return np.vstack(bands)


def fit(picture: Picture, side: int) -> Picture:
    """The picture enlarged or reduced so that its longer side is `side` px."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, size, interpolation=how).astype(np.uint8, copy=False)


def _title(text: str, width: int) -> Picture:
    band = np.full((_LINE, width, 3), _PAPER, np.uint8)
    cv2.putText(band, text, (_GAP, _LINE - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return band
