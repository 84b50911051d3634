"""Swapped eyes look where the video's look.

Where an iris lies is a pixel or two of the small picture that an autoencoder sees: pose and expression foretell most of
it, and what they foretell is what decoders draw, a stare. So the eyes in the video and those that have been drawn are
looked at alike, and the drawn irises are moved by what they lack.
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
_ROOM = 1.2  # side of the patch that is moved for an eye, by the distance of its corners


@dataclass(frozen=True)
class Gaze:
    """Where the eyes of a drawn face are, and what they lack to look where the video's do."""

    drawn: tuple[Eye, Eye]
    """In the pixels of the drawn picture, as the viewer sees them."""
    lacking: float
    """By how many widths of the eye their irises are to be moved to the viewer's right."""


def lacking(drawn: Eye, filmed: Eye) -> float:
    """By how much an iris is to be moved for a drawn eye to look where the filmed one does: see `Gaze.lacking`.

    What `eye_flow` moves moves less, the nearer to a corner it comes to lie. Of an eye that is shut nobody knows.
    """
    if drawn.shut or filmed.shut:
        return 0.0
    wanted = filmed.gaze
    share = max(1 - (2 * wanted) ** 2, 0.5)
    return float(np.clip((wanted - drawn.gaze) / share, -_FARTHEST, _FARTHEST))


def looking(picture: Drawn, gaze: Gaze | None, strength: float) -> Drawn:
    """The picture with its irises moved by what they lack; all the way for a `strength` of 1.

    Only to the sides: up and down the lids go with the eye, and decoders follow lids well.
    """
    if gaze is None or strength == 0:
        return picture
    result = picture.clone()
    for eye in gaze.drawn:
        _move_iris(result, picture, eye.lids, strength * gaze.lacking)
    return result


def _move_iris(result: Drawn, picture: Drawn, lids: Float[np.ndarray, "16 2"], across: float) -> None:
    """Write the patch round one eye into `result`, with its iris moved."""
    # Where the patch lies.
    side, device = picture.shape[-1], picture.device
    reach = min(side, max(1, round(_ROOM * float(np.hypot(*(lids[8] - lids[0]))))))
    corner = np.clip(np.round((lids[0] + lids[8] - reach) / 2), 0, side - reach).astype(int)
    rows, columns = slice(corner[1], corner[1] + reach), slice(corner[0], corner[0] + reach)

    # What moves in it, in its own coordinates.
    outline = torch.from_numpy((lids - corner + 0.5) * (2 / reach) - 1).float().to(device)
    line = (torch.arange(reach, device=device) + 0.5) * (2 / reach) - 1
    places = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)[None]
    gaze = torch.tensor([[across, 0.0]], device=device)
    flow = eye_flow(places, outline[None], torch.zeros(1, device=device), gaze)

    moved = functional.grid_sample(
        picture[None, :, rows, columns], places + flow, padding_mode="border", align_corners=False
    )
    result[:, rows, columns] = moved[0]
