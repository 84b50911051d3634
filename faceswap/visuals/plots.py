"""Plots of what a latent holds: maps of faces, curves with their spread, bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from faceswap.types import Picture

Place = Float[np.ndarray, "2"]
Places = Float[np.ndarray, "faces 2"]
Values = Float[np.ndarray, " faces"]

_INKS = ("#4c78a8", "#e45756", "#54a24b", "#b279a2", "#f58518", "#72b7b2")
_PAPER, _INK, _PALE = "#fafaf8", "#28282c", "#c9c9c4"
_SCALE = "viridis"

_THUMBNAIL = 46  # pixels of a face on a map
_RIM = 3  # pixels round it, in its person's ink
_BORDER = 0.06  # share of a map's side that stays free all round
_DOT = 3  # pixels: radius of a face without a thumbnail


@dataclass(frozen=True, kw_only=True)
class Colouring:
    """By what the faces of a map are coloured."""

    title: str
    values: Values
    names: tuple[str, ...] = ()
    """Of the values 0, 1, 2..., if they are kinds of things; none: they are quantities."""


@dataclass(frozen=True, kw_only=True)
class ThumbnailMap:
    """A map with some of the faces drawn upon it."""

    picture: Picture
    places: Places
    """Where each face lies in the picture: pixels from the left and from the top."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A curve with its spread."""

    name: str
    x: Float[np.ndarray, " points"]
    middle: Float[np.ndarray, " points"]
    spread: Float[np.ndarray, " points"]
    """To either side."""


@dataclass(frozen=True, kw_only=True)
class Bars:
    """One panel of bars."""

    title: str
    heights: Float[np.ndarray, " bars"]
    below: str
    """What stands from left to right."""
    line: float | None = None
    """A height that is marked."""


def thumbnail_map(
    places: Places, kinds: Int[np.ndarray, " faces"], pictures: UInt8[np.ndarray, "faces h w 3"], side: int
) -> ThumbnailMap:
    """Faces where they lie: as pictures as long as there is room, as dots elsewhere; inks go by `kinds`.

    The map is `side` px wide and high; both axes are stretched to fill it.
    """
    # From coordinates to pixels; y goes up.
    low, high = places.min(axis=0), places.max(axis=0)
    shares = (places - low) / np.where(high > low, high - low, 1.0)
    shares = np.where(high > low, shares, 0.5)
    shares[:, 1] = 1 - shares[:, 1]
    pixels = (_BORDER + (1 - 2 * _BORDER) * shares) * side

    paper = np.full((side, side, 3), _rgb(_PAPER), np.uint8)
    for (x, y), kind in zip(pixels.round().astype(int).tolist(), kinds.tolist(), strict=True):
        cv2.circle(paper, (x, y), _DOT, _rgb(_ink(kind)), -1, cv2.LINE_AA)

    for face in _with_room(pixels):
        _draw_thumbnail(paper, pictures[face], pixels[face], _rgb(_ink(int(kinds[face]))))
    return ThumbnailMap(picture=paper, places=pixels)


def _with_room(pixels: Places) -> list[int]:
    """Faces whose thumbnails do not cover each other, taken in an order of chance that is always the same."""
    taken: list[int] = []
    for face in np.random.default_rng(0).permutation(len(pixels)).tolist():
        apart = np.abs(pixels[taken] - pixels[face]).max(axis=1)
        if not (apart < _THUMBNAIL + 2 * _RIM).any():
            taken.append(face)
    return taken


def _draw_thumbnail(paper: Picture, picture: Picture, place: Place, ink: tuple[int, int, int]) -> None:
    """Draw one face with a rim, centred on its place, moved inwards where the paper ends."""
    half, last = _THUMBNAIL // 2, paper.shape[0] - _THUMBNAIL - _RIM
    left, top = (int(np.clip(round(float(at)) - half, _RIM, last)) for at in place)
    framed = paper[top - _RIM : top + _THUMBNAIL + _RIM, left - _RIM : left + _THUMBNAIL + _RIM]
    framed[:] = ink
    framed[_RIM:-_RIM, _RIM:-_RIM] = cv2.resize(picture, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)


def scatter_panels(maps: Mapping[str, Places], colourings: Sequence[Colouring], width: int) -> Picture:
    """A row of panels for each map, one for each colouring, `width` px wide in all."""
    columns, rows = len(colourings), len(maps)
    inches = width / 100
    figure = Figure(figsize=(inches, rows * (inches / columns + 0.35)), dpi=100, facecolor=_PAPER, layout="constrained")
    canvas = FigureCanvasAgg(figure)

    for row, (name, places) in enumerate(maps.items()):
        for column, colouring in enumerate(colourings):
            axes = figure.add_subplot(rows, columns, row * columns + column + 1)
            _scatter(axes, places, colouring)
            axes.set_title(f"{name}: {colouring.title}", fontsize=9, color=_INK)

    return _drawn(canvas)


def _scatter(axes: Axes, places: Places, colouring: Colouring) -> None:
    """One panel; of quantities the middle 96 % span the colours."""
    axes.set_xticks([])
    axes.set_yticks([])

    if not colouring.names:
        low, high = np.percentile(colouring.values, [2, 98])
        axes.scatter(
            places[:, 0], places[:, 1], s=5, c=colouring.values, cmap=_SCALE, vmin=low, vmax=high, linewidths=0
        )
        return

    for number, name in enumerate(colouring.names):
        x, y = places[colouring.values == number].T
        axes.scatter(x, y, s=5, color=_ink(number), label=name, linewidths=0)
    axes.legend(fontsize=7, frameon=False, markerscale=2)


def spread_curves(lines: Sequence[Spread], title: str, below: str, beside: str) -> Picture:
    """Curves over a logarithmic scale, each with a band as wide as its spread."""
    figure = Figure(figsize=(8, 5), dpi=100, facecolor=_PAPER, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, line in enumerate(lines):
        ink = _ink(number)
        axes.fill_between(line.x, line.middle - line.spread, line.middle + line.spread, color=ink, alpha=0.15, lw=0)
        axes.plot(line.x, line.middle, color=ink, marker="o", markersize=4, linewidth=1.6, label=line.name)

    ticks = sorted({float(x) for line in lines for x in line.x})
    axes.set_xscale("log")
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_title(title, fontsize=11, color=_INK)
    axes.set_xlabel(below, fontsize=9)
    axes.set_ylabel(beside, fontsize=9)
    axes.grid(color=_PALE, linewidth=0.5, alpha=0.6)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=9, frameon=False)
    return _drawn(canvas)


def bars(panels: Sequence[Bars], title: str) -> Picture:
    """Panels of bars, one below the other."""
    figure = Figure(figsize=(10, 0.5 + 2.4 * len(panels)), dpi=100, facecolor=_PAPER, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title, color=_INK, fontsize=12)

    for place, panel in enumerate(panels, 1):
        axes = figure.add_subplot(len(panels), 1, place)
        axes.bar(np.arange(len(panel.heights)), panel.heights, width=1.0, color=_INKS[0])
        if panel.line is not None:
            axes.axhline(panel.line, color=_INKS[1], linewidth=1)
        axes.set_xlim(-0.5, len(panel.heights) - 0.5)
        axes.set_title(panel.title, fontsize=10, color=_INK)
        axes.set_xlabel(panel.below, fontsize=8)
        axes.tick_params(labelsize=8)

    return _drawn(canvas)


def _ink(kind: int) -> str:
    return _INKS[kind % len(_INKS)]


def _rgb(ink: str) -> tuple[int, int, int]:
    return int(ink[1:3], 16), int(ink[3:5], 16), int(ink[5:7], 16)


def _drawn(canvas: FigureCanvasAgg) -> Picture:
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(drawn[..., :3])
