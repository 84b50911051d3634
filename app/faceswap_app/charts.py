"""Curves and histograms as SVG: drawn by the browser in the page's own colours, light or dark."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Points = Sequence[tuple[float, float]]

_INKS = ("var(--ink-1)", "var(--ink-2)", "var(--ink-3)", "var(--ink-4)")
_WIDTH, _HEIGHT = 620, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 26
_MOST_POINTS = 240  # of a curve: more than can be told apart
_BINS = 24


def curves(lines: Mapping[str, Points], below: str) -> str:
    """Curves over one scale that `below` names, each with its last value in the legend."""
    drawn = {name: np.array(points, np.float64) for name, points in lines.items() if len(points) > 1}

    if not drawn:
        return ""

    everything = np.concatenate([_smoothed(points) for points in drawn.values()])
    (x0, y0), (x1, y1) = everything.min(axis=0), everything.max(axis=0)
    y0, y1 = max(0.0, y0 - 0.1 * (y1 - y0)), y1 + 0.1 * (y1 - y0) + 1e-9

    scale = np.array([(_WIDTH - _LEFT - _RIGHT) / max(x1 - x0, 1e-9), -(_HEIGHT - _TOP - _BOTTOM) / (y1 - y0)])
    origin = np.array([_LEFT, _HEIGHT - _BOTTOM])

    body = [_rule(y, y0, y1) for y in _round_numbers(y0, y1)]
    for x in _round_numbers(x0, x1):
        at = _LEFT + (x - x0) * scale[0]
        body.append(f'<text x="{at:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">{_number(x)}</text>')

    for ink, points in zip(_INKS, drawn.values(), strict=False):
        places = (_smoothed(points) - (x0, y0)) * scale + origin
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        body.append(f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="2"/>')

    legend = "".join(
        f'<span><i style="background:{ink}"></i>{html.escape(name)} <b>{_number(points[-1, 1])}</b></span>'
        for ink, (name, points) in zip(_INKS, drawn.items(), strict=False)
    )

    return f'<div class="chart"><div class="legend">{legend}<em>{below}</em></div>{_svg(body, _WIDTH, _HEIGHT)}</div>'


def histogram(title: str, values: npt.NDArray[np.float64], low: float, high: float, ends: tuple[str, str]) -> str:
    """How often values occur; those beyond `low` and `high` are counted at the ends, which `ends` explains."""
    counts, edges = np.histogram(np.clip(values, low, high), _BINS, (low, high))
    most = max(1, int(counts.max()))

    bars = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        x, height = 300 * (left - low) / (high - low), 62 * count / most
        label = f"{_number(left)} to {_number(right)}: {count} faces"
        bars.append(
            f'<rect x="{x:.1f}" y="{64 - height:.1f}" width="{300 / _BINS - 1:.1f}" height="{height:.1f}"'
            f' fill="{_INKS[0]}"><title>{label}</title></rect>'
        )

    middle = f"median {_number(float(np.median(values)))}" if len(values) else ""
    foot = f"<span>{ends[0]} {_number(low)}</span><span>{_number(high)} {ends[1]}</span>"
    head = f"<b>{html.escape(title)}</b><span>{middle}</span>"

    return f'<div class="histogram"><div>{head}</div>{_svg(bars, 300, 65)}<div>{foot}</div></div>'


def _smoothed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Means of neighbours, so that a curve has no more points than can be seen, and the first and last point."""
    parts = np.array_split(points, min(len(points), _MOST_POINTS))
    return np.array([part.mean(axis=0) for part in parts])


def _round_numbers(low: float, high: float) -> list[float]:
    """About five between the ends."""
    rough = max(high - low, 1e-9) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _rule(y: float, y0: float, y1: float) -> str:
    at = _HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (_HEIGHT - _TOP - _BOTTOM)
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="rule"/>'
    return f'{line}<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(y)}</text>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _svg(body: Sequence[str], width: int, height: int) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" preserveAspectRatio="none">{"".join(body)}</svg>'
