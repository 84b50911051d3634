"""Swapped eyes look where the video's look, and shut when they do.

Where an iris lies is a pixel or two of the small picture that an autoencoder sees: pose and expression foretell most of
it, and what they foretell is what decoders draw, a stare. A blink is a frame or two, and they draw it half. So the eyes
in the video and those that have been drawn are looked at alike, and the drawn irises and lids are moved by what they
lack.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.faces.eye_motion import eye_flow
from faceswap.faces.irises import Eye

Drawn = Float[Tensor, "3 side side"]

_FARTHEST = 0.25  # widths of the eye: by more than this no iris is moved
_OPEN, _SHUT = 0.25, 0.15  # openings of a filmed eye from which its lids are followed, and at which they meet
_SLIT = 0.06  # by which lids have to be further apart than shut ones to be closed all the way
_FINER = 2  # times as many pixels: the edge of a lid that moves is a step
_ROOM = 1.8  # side of the patch that is moved for an eye, by the distance of its corners


@dataclass(frozen=True, kw_only=True)
class Gaze:
    """Where the eyes of a drawn face are, and what they lack to look where the video's do and to be as shut."""

    drawn: tuple[Eye, Eye]
    """In the pixels of the drawn picture, as the viewer sees them."""
    lacking: float
    """By how many widths of the eye their irises are to be moved to the viewer's right."""
    closing: tuple[float, float] = (0.0, 0.0)
    """How far the lids of each are to be closed: 1 is shut."""


def lacking(drawn: Eye, filmed: Eye) -> float:
    """By how much an iris is to be moved for a drawn eye to look where the filmed one does: see `Gaze.lacking`.

    What `eye_flow` moves moves less, the nearer to a corner it comes to lie. Of an eye that is shut nobody knows.
    """
    if drawn.shut or filmed.shut:
        return 0.0
    wanted = filmed.gaze
    share = max(1 - (2 * wanted) ** 2, 0.5)
    return float(np.clip((wanted - drawn.gaze) / share, -_FARTHEST, _FARTHEST))


def closing(drawn: Eye, filmed: Eye) -> float:
    """How far a drawn eye is to be closed to be as shut as the filmed one: see `Gaze.closing`.

    Lids that are well apart are each person's own, and those that nearly meet are as they should be: lashes and all.
    """
    if drawn.opening <= _SHUT:
        return 0.0
    open_still = float(np.clip((filmed.opening - _SHUT) / (_OPEN - _SHUT), 0, 1))
    # Of what a wide eye has; one that the decoder has half closed has come part of the way.
    left = open_still * max(1.0, _OPEN / drawn.opening)
    return max(0.0, 1 - left) * min(1.0, (drawn.opening - _SHUT) / _SLIT)


def looking(picture: Drawn, gaze: Gaze | None, strength: float) -> Drawn:
    """The picture with its irises and lids moved by what they lack; all the way for a `strength` of 1.

    Irises only to the sides: up and down lids go with the eye, and decoders follow lids that are open well.
    """
    if gaze is None or strength == 0:
        return picture
    result = picture.clone()
    for eye, closed in zip(gaze.drawn, gaze.closing, strict=True):
        _move_eye(result, picture, eye.lids, across=strength * gaze.lacking, closed=strength * closed)
    return result


def _move_eye(result: Drawn, picture: Drawn, lids: Float[np.ndarray, "16 2"], *, across: float, closed: float) -> None:
    """Write the patch round one eye into `result`, with its iris and its lids moved."""
    # Where the patch lies.
    side, device = picture.shape[-1], picture.device
    reach = min(side, max(1, round(_ROOM * float(np.hypot(*(lids[8] - lids[0]))))))
    corner = np.clip(np.round((lids[0] + lids[8] - reach) / 2), 0, side - reach).astype(int)
    rows, columns = slice(corner[1], corner[1] + reach), slice(corner[0], corner[0] + reach)

    # What moves in it, in its own coordinates.
    finer = _FINER if closed > 0 else 1
    outline = torch.from_numpy((lids - corner + 0.5) * (2 / reach) - 1).float().to(device)
    line = (torch.arange(finer * reach, device=device) + 0.5) * (2 / (finer * reach)) - 1
    places = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)[None]
    gaze, shut = torch.tensor([[across, 0.0]], device=device), torch.tensor([closed], device=device)
    flow = eye_flow(places, outline[None], shut, gaze)

    moved = functional.grid_sample(
        picture[None, :, rows, columns], places + flow, padding_mode="border", align_corners=False
    )
    result[:, rows, columns] = functional.avg_pool2d(moved, finer)[0]
