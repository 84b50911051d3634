"""Eyes that look elsewhere, and lids that move: how the pixels of a picture follow them.

Portraits that are brought to life move their eyes and blink so (`training.base_weights`), and swapped faces move their
eyes so, to look where the video's do (`swapping.eyes`). Places are in the [-1, 1] coordinates of torch's grid_sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Places = Float[Tensor, "batch height width 2"]

_LOWER_LID, _UPPER_LID = slice(0, 9), [*range(8, 16), 0]  # of an eye's outline
_UPPER = 0.85  # share of the way that the upper lid makes when an eye shuts
_UNFOLDING = 1.4  # from 1, where skin stretches evenly, on: how much more of a lid unfolds near its edge

_RIDGE = 1e-4  # little beside the points of a lid

# In halves of the eye's width.
_LID_ROOM = 0.9  # how far from a lid the skin moves along
_RIM = 0.15  # how much of the lower lid shutting hides: its edge is pale
_LASHES = 0.28  # how far they rise from the upper lid's edge

# Lashes sink from where a lid is a third shut; what is seen of them then.
_SINK_FROM = 0.3
_SUNK = 0.6


def eye_flow(
    places: Places,
    eye: Float[Tensor, "batch 16 2"],
    closed: Float[Tensor, " batch"],
    gaze: Float[Tensor, "batch 2"],
) -> Places:
    """How far from each place lies what is to be seen there when a lid moves and an eye looks elsewhere.

    In each column of pixels the lids, which meet low, draw the skin beyond them out or together; the eyeball between
    them stays where it is. The lashes go along with the upper lid and sink, as seen from before them; what is stretched
    is the skin above. A lid that opens wider stretches the eye.
    """
    x, y = places.unbind(-1)
    outer, inner = eye[:, 0, 0], eye[:, 8, 0]
    middle, half = (outer + inner) / 2, ((inner - outer) / 2).abs().clamp_min(1e-3)

    # The pixels round the eye, a few in a hundred: elsewhere nothing moves.
    near = _near_eye(x, y, eye, middle=middle, half=half, room=_LID_ROOM * half)
    face = near.nonzero()[:, 0]
    x, y = (x[near] - middle[face]) / half[face], y[near]

    # What moves there.
    lids = _moved_lids(x, eye, face, middle=middle, half=half, closed=closed)
    between = (y > lids.new_upper) & (y < lids.new_lower)
    width = 2 * half[face] * ((1 - x**2).clamp_min(0) * between)
    across, down = gaze[face].unbind(-1)
    down = torch.where(between, _between_lids(y, lids, closed[face], down * width), _beyond_lids(y, lids))

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
    room: Float[Tensor, " n"]
    """How far from a lid the skin moves along."""
    lashes: Float[Tensor, " n"]
    """How far they rise from the upper lid's edge."""
    new_lashes: Float[Tensor, " n"]


def _moved_lids(
    x: Float[Tensor, " n"],
    eye: Float[Tensor, "batch 16 2"],
    face: Int64[Tensor, " n"],
    *,
    middle: Float[Tensor, " batch"],
    half: Float[Tensor, " batch"],
    closed: Float[Tensor, " batch"],
) -> _Lids:
    """`x` is -1 and 1 in the eye's corners, where lids do not part."""
    level = (eye - torch.stack([middle, torch.zeros_like(middle)], dim=1)[:, None]) / half[:, None, None]
    upper, lower = (_height(x, level[:, part], face) * half[face] for part in (_UPPER_LID, _LOWER_LID))
    gap = (lower - upper).clamp_min(0)
    lower, shut, half = upper + gap, closed[face], half[face]

    rim = _RIM * half * (1 - x**2).clamp_min(0)
    lashes = torch.minimum(_LASHES * half, gap / 2)
    sunk = ((shut - _SINK_FROM) / (1 - _SINK_FROM)).clamp(0, 1)

    return _Lids(
        upper=upper,
        lower=lower + rim * shut.clamp_min(0),
        new_upper=upper + _UPPER * shut * gap,
        new_lower=lower - (1 - _UPPER) * shut.clamp_min(0) * gap,
        room=_LID_ROOM * half,
        lashes=lashes,
        new_lashes=lashes * (1 - (1 - _SUNK) * sunk),
    )


def _beyond_lids(y: Float[Tensor, " n"], lids: _Lids) -> Float[Tensor, " n"]:
    """How far down skin comes with the lid whose edge it lies behind; not at all `room` away."""
    # The upper lid's lashes wholly, those that are there; its skin the less the further up.
    tips, new_tips = lids.upper - lids.lashes, lids.new_upper - lids.new_lashes
    shortened = lids.lashes / lids.new_lashes.clamp_min(1e-6)
    lashes = y - (lids.upper - (lids.new_upper - y) * shortened)
    stays = lids.upper - lids.room
    share = ((y - stays) / (new_tips - stays)).clamp(0, 1) ** _UNFOLDING
    above = torch.where(y > new_tips, lashes, (new_tips - tips) * share)

    below = (lids.new_lower - lids.lower) * (1 - (y - lids.new_lower) / lids.room).clamp(0, 1)
    return torch.where(y >= lids.new_lower, below, above)


def _between_lids(
    y: Float[Tensor, " n"], lids: _Lids, closed: Float[Tensor, " n"], down: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """How far the eyeball moves: `down`, or stretched from the upper lid on where that opens wider."""
    share = 1 - (y - lids.new_upper) / (lids.new_lower - lids.new_upper).clamp_min(1e-4)
    return torch.where(closed < 0, (lids.new_upper - lids.upper) * share, down)


def _height(
    x: Float[Tensor, " n"], curve: Float[Tensor, "batch points 2"], face: Int64[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """How high the lid through a face's points lies at `x`: by least squares, so that no point makes a bump."""
    at, height = curve.unbind(-1)
    shapes = _arch(at)
    ridge = _RIDGE * torch.eye(shapes.shape[-1], device=at.device)  # of an eye seen from the side its points lie in one
    squares, products = shapes.mT @ shapes + ridge, shapes.mT @ height[..., None]
    weights: Tensor = torch.linalg.solve(squares, products)[..., 0]
    return (_arch(x) * weights[face]).sum(dim=-1)


def _arch(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 5"]:
    """What lids are sums of: a line from corner to corner, -1 to 1, and what rises over it."""
    over = 1 - x**2
    return torch.stack([torch.ones_like(x), x, over, over * x, over * x**2], dim=-1)
