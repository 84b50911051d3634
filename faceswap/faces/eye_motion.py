"""Eyes that look elsewhere, and lids that move: how the pixels of a picture follow them.

Portraits that are brought to life move their eyes and blink so (`training.base_weights`), and swapped faces move their
eyes so, to look where the video's do (`swapping.eyes`). Places are in the [-1, 1] coordinates of torch's grid_sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Places = Float[Tensor, "batch height width 2"]

_UPPER = 0.85  # share of the way that the upper lid makes when an eye shuts
_LID_ROOM = 0.9  # of half the eye's width: how far from a lid the skin moves along


def eye_flow(
    places: Places,
    eye: Float[Tensor, "batch 16 2"],
    closed: Float[Tensor, " batch"],
    gaze: Float[Tensor, "batch 2"],
) -> Places:
    """How far from each place lies what is to be seen there when a lid moves and an eye looks elsewhere.

    In each column of pixels the lids, which meet low, draw the skin beyond them out or together; the eyeball between
    them stays where it is. A lid that opens wider stretches the eye.
    """
    x, y = places.unbind(-1)
    outer, inner = eye[:, 0, 0], eye[:, 8, 0]
    middle, half = (outer + inner) / 2, ((inner - outer) / 2).abs().clamp_min(1e-3)
    room = _LID_ROOM * half

    # The pixels round the eye, a few in a hundred: elsewhere nothing moves.
    near = _near_eye(x, y, eye, middle=middle, half=half, room=room)
    face = near.nonzero()[:, 0]
    x, y, half = x[near], y[near], half[face]
    along = 1 - ((x - middle[face]) / half) ** 2

    # What moves there.
    lids = _moved_lids(x, along, eye[face], half, closed[face])
    between = (y > lids.new_upper) & (y < lids.new_lower)
    width = 2 * half * (along.clamp_min(0) * between)
    across, down = gaze[face].unbind(-1)
    down = torch.where(between, _between_lids(y, lids, closed[face], down * width), _beyond_lids(y, lids, room[face]))

    flow = torch.zeros_like(places)
    flow[near] = -torch.stack([across * width, down], dim=-1)
    return flow


def _near_eye(
    x: Float[Tensor, "batch h w"],
    y: Float[Tensor, "batch h w"],
    eye: Float[Tensor, "batch 16 2"],
    middle: Float[Tensor, " batch"],
    half: Float[Tensor, " batch"],
    room: Float[Tensor, " batch"],
) -> Bool[Tensor, "batch h w"]:
    """Whether a place is an eye's, or that of the skin which its lids draw along."""
    top, bottom = eye[..., 1].aminmax(dim=1)
    reach = room + (bottom - top)  # a lid that opens wider rises by less than the eye is high
    beside = (x - middle[:, None, None]).abs() < half[:, None, None]
    level = (y - ((top + bottom) / 2)[:, None, None]).abs() < ((bottom - top) / 2 + reach)[:, None, None]
    return beside & level


@dataclass(frozen=True, kw_only=True)
class _Lids:
    """Heights of the lids' edges in some columns, before and after they have moved."""

    upper: Float[Tensor, " n"]
    lower: Float[Tensor, " n"]
    new_upper: Float[Tensor, " n"]
    new_lower: Float[Tensor, " n"]


def _moved_lids(
    x: Float[Tensor, " n"],
    along: Float[Tensor, " n"],
    eye: Float[Tensor, "n 16 2"],
    half: Float[Tensor, " n"],
    closed: Float[Tensor, " n"],
) -> _Lids:
    """`along` is 1 in the eye's middle and 0 in its corners, where lids do not part."""
    upper = _height(x, torch.cat([eye[:, 8:], eye[:, :1]], dim=1), half)
    gap = (_height(x, eye[:, :9], half) - upper).clamp_min(0) * (3 * along).clamp(0, 1)
    lower = upper + gap
    return _Lids(
        upper=upper,
        lower=lower,
        new_upper=upper + _UPPER * closed * gap,
        new_lower=lower - (1 - _UPPER) * closed.clamp_min(0) * gap,
    )


def _beyond_lids(y: Float[Tensor, " n"], lids: _Lids, room: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """How far skin follows the lid whose edge it lies behind: all the way at the edge, not at all `room` away."""
    above = (lids.new_upper - lids.upper) * ((y - lids.new_upper) / room + 1).clamp(0, 1)
    below = (lids.new_lower - lids.lower) * (1 - (y - lids.new_lower) / room).clamp(0, 1)
    return torch.where(y >= lids.new_lower, below, above)


def _between_lids(
    y: Float[Tensor, " n"], lids: _Lids, closed: Float[Tensor, " n"], down: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """How far the eyeball moves: `down`, or stretched from the upper lid on where that opens wider."""
    share = 1 - (y - lids.new_upper) / (lids.new_lower - lids.new_upper).clamp_min(1e-4)
    return torch.where(closed < 0, (lids.new_upper - lids.upper) * share, down)


def _height(
    x: Float[Tensor, " n"], curve: Float[Tensor, "n points 2"], half: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """How high a curve lies at `x`, between its points by their distance."""
    away = (x[:, None] - curve[..., 0]) / half[:, None]
    weights = (away.square() + 0.01).pow(-2)
    return (weights * curve[..., 1]).sum(dim=-1) / weights.sum(dim=-1)
