"""Curves over time as they are: where `charts.curves` shows a trend, these show every syllable and every blink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceswap.types import Picture
from faceswap.visuals.charts import Curve

_INKS = ("#4c78a8", "#e45756", "#54a24b", "#b279a2")
_INK, _PAPER = "#28282c", "#fafaf8"


def timelines(panels: Mapping[str, Sequence[Curve]], below: str) -> Picture:
    """Panels by their titles, in two columns, with one scale from left to right that `below` names.

    Where a curve has no value (NaN), its line is broken.
    """
    rows = max(1, (len(panels) + 1) // 2)
    figure = Figure(figsize=(11, 0.3 + 2.1 * rows), dpi=110, facecolor=_PAPER, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for place, (title, lines) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, 2, place)
        for line, ink in zip(lines, _INKS, strict=False):
            x, y = np.array(line.points, dtype=float).reshape(-1, 2).T
            axes.plot(x, y, color=ink, linewidth=1.1, label=line.name or None)
        axes.set_title(title, fontsize=10, color=_INK)
        axes.set_xlabel(below, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.margins(x=0.01)
        axes.spines[["top", "right"]].set_visible(False)
        if any(line.name for line in lines):
            axes.legend(fontsize=8, frameon=False, ncols=len(lines), loc="best")

    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(drawn[..., :3])
