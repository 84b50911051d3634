"""Keeping a swap's looks from flickering: what was measured in single frames is averaged with the frames around."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import torch

from faceswap.streams import time_windows
from faceswap.swapping.color import Palette
from faceswap.swapping.eyes import Gaze
from faceswap.swapping.infer import FrameSwaps, Swap

Timed = tuple[Fraction, Sequence[Swap]]

_RELIGHTED = 4.0  # Lab units: a neighbour whose light differs by this much counts 0.6, by twice as much 0.14
_VISIBLE_REACH = 0.06  # seconds
_GAZE_REACH = 0.1  # seconds: an eye jumps from one frame to the next, what its iris lacks does not
_MASK_REACH = 0.5  # of the reach: a jaw moves faster than light and sharpness change


def smoothed_over_time(frames: Iterable[FrameSwaps], reach: float) -> Iterator[FrameSwaps]:
    """The same swaps, with palettes, noise, masks and gazes averaged over `reach` seconds before and after.

    Neighbours count less the further away they are, and the more the light on the face differs: a flash is followed
    at once. Each track is looked at for itself; none goes on beyond a cut.
    """
    waiting: deque[FrameSwaps] = deque()  # large pictures: those of frames that are done are not kept

    def timed() -> Iterator[Timed]:
        for each in frames:
            waiting.append(each)
            yield each.frame.time, each.swaps

    for window, at in time_windows(timed(), _time, reach):
        smoothed = [_smoothed(swap, window, at, reach) for swap in window[at][1]]
        yield replace(waiting.popleft(), swaps=smoothed)


def _smoothed(swap: Swap, window: Sequence[Timed], at: int, reach: float) -> Swap:
    near = [
        (float(_time(other) - _time(window[at])), same)
        for other in window
        for same in other[1]
        if same.track == swap.track
    ]

    if len(near) < 2:
        return swap

    weights = [_nearness(away, reach) * _likeness(swap, other) for away, other in near]
    total = sum(weights)
    weights = [weight / total for weight in weights]
    others = [other for _, other in near]

    # Where a face has just become large enough for a larger picture, its mask is not yet averaged with smaller ones.
    alike = [(away, other.mask) for away, other in near if other.mask.shape == swap.mask.shape]
    masks = [_nearness(away, _MASK_REACH * reach) for away, _ in alike]

    return replace(
        swap,
        colours=Palette(
            torch.cat([other.colours.ours for other in others]),
            torch.cat([other.colours.theirs for other in others]),
            torch.cat([weight * other.colours.weights for weight, other in zip(weights, others, strict=True)]),
        ),
        noise=sum(weight * other.noise for weight, other in zip(weights, others, strict=True)),
        visible=_visible(swap, near),
        gaze=_gaze(swap, near),
        mask=_mean([mask for _, mask in alike], [weight / sum(masks) for weight in masks]),
    )


def _visible(swap: Swap, near: Sequence[tuple[float, Swap]]) -> torch.Tensor | None:
    """Hands move fast: only the frames before and after have a say."""
    known = [(away, other.visible) for away, other in near if other.visible is not None]
    if swap.visible is None:
        return None
    weights = [_nearness(away, _VISIBLE_REACH) for away, _ in known]
    return _mean([visible for _, visible in known], [weight / sum(weights) for weight in weights])


def _gaze(swap: Swap, near: Sequence[tuple[float, Swap]]) -> Gaze | None:
    if swap.gaze is None:
        return None
    known = [(_nearness(away, _GAZE_REACH), other.gaze.lacking) for away, other in near if other.gaze is not None]
    total = sum(weight for weight, _ in known)
    return replace(swap.gaze, lacking=sum(weight * lacking for weight, lacking in known) / total)


def _mean(values: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    used = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight > 0]
    stack = torch.stack([value for value, _ in used])
    mean: torch.Tensor = torch.tensordot(stack.new_tensor([weight for _, weight in used]), stack, dims=1)
    return mean


def _nearness(away: float, reach: float) -> float:
    """The tricube weight: 1 at once, 0 at `reach` seconds."""
    return max(0.0, 1 - (abs(away) / reach) ** 3) ** 3 if reach > 0 else float(away == 0)


def _likeness(swap: Swap, other: Swap) -> float:
    return math.exp(-(math.dist(swap.tone, other.tone) ** 2) / (2 * _RELIGHTED**2))


def _time(timed: Timed) -> Fraction:
    return timed[0]
