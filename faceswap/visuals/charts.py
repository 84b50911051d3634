"""Histograms and curves as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceswap.types import Picture

_BINS = 30
_INKS = ("#4c78a8", "#e45756", "#54a24b", "#b279a2", "#f58518", "#72b7b2")
_BAR, _INK = "#4c78a8", "#28282c"


@dataclass(frozen=True, kw_only=True)
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

    return _drawn(canvas)


@dataclass(frozen=True)
class Curve:
    """One line in a panel."""

    name: str
    """For the legend; empty for none."""
    points: Sequence[tuple[float, float]]


def curves(panels: Mapping[str, Sequence[Curve]], below: str) -> Picture:
    """Panels by their titles, in two columns, with one scale from left to right that `below` names.

    Noisy curves lie pale behind their running mean.
    """
    rows = max(1, (len(panels) + 1) // 2)

    figure = Figure(figsize=(10, 0.3 + 2.7 * rows), dpi=100, facecolor="#fafaf8", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for place, (title, lines) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, 2, place)

        for number, line in enumerate(lines):
            ink = _INKS[number % len(_INKS)]
            x, y = np.array(line.points, dtype=float).reshape(-1, 2).T
            smooth = _running_mean(y)
            axes.plot(x, y, color=ink, linewidth=0.6, alpha=0.35)
            axes.plot(x, smooth, color=ink, linewidth=1.4, label=line.name or None)

        axes.set_title(title, fontsize=10, color=_INK)
        axes.set_xlabel(below, fontsize=8)
        axes.tick_params(labelsize=8)
        if any(line.name for line in lines):
            axes.legend(fontsize=8, frameon=False)

    return _drawn(canvas)


def _running_mean(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Over a twentieth of the curve to either side, less at its ends."""
    reach = len(values) // 20
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    reach_here = np.minimum(reach, np.minimum(places, len(values) - 1 - places))
    first, last = places - reach_here, places + reach_here + 1
    return np.asarray((sums[last] - sums[first]) / (last - first))


def _drawn(canvas: FigureCanvasAgg) -> Picture:
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(drawn[..., :3])
