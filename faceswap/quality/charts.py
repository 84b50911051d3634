"""Histograms as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceswap.types import Picture

_BINS = 30
_BAR, _INK = "#4c78a8", "#28282c"


@dataclass(frozen=True)
class Histogram:
    """What one panel shows."""

    title: str
    values: Float[np.ndarray, " n"]
    low: float
    """The left end of the axis; values beyond its ends are counted in the bins there."""
    high: float
    ends: tuple[str, str] = ("", "")
    """What small and large values mean, in a word or two each."""


def histograms(panels: Sequence[Histogram], title: str) -> Picture:
    """Histograms in two columns, with the median of each as a line."""
    rows = (len(panels) + 1) // 2
    height = 0.5 + 2.7 * rows
    figure = Figure(figsize=(10, height), dpi=100, facecolor="#fafaf8")
    figure.subplots_adjust(0.06, 0.3 / height, 0.98, 1 - 0.75 / height, 0.16, 0.3)
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title, color=_INK, y=1 - 0.1 / height, va="top")
    for place, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, 2, place)
        axes.margins(y=0.15)
        values = np.clip(panel.values, panel.low, panel.high)
        axes.hist(values, bins=_BINS, range=(panel.low, panel.high), color=_BAR)
        if len(panel.values):
            axes.axvline(float(np.median(panel.values)), color=_INK, linewidth=1)
        axes.set_xlim(panel.low, panel.high)
        axes.set_title(panel.title, fontsize=10, color=_INK)
        axes.set_ylabel("faces", fontsize=8)
        axes.tick_params(labelsize=8)
        for side, text in zip(("left", "right"), panel.ends, strict=True):
            at = 0.01 if side == "left" else 0.99
            axes.text(at, 0.96, text, transform=axes.transAxes, ha=side, va="top", fontsize=8, color=_INK)
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(drawn[..., :3])
