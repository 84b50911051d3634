"""Faces that are not trained on: they tell when training no longer makes anything better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from faceswap.config import TrainConfig
from faceswap.model.swap_model import SwapModel
from faceswap.training.bank import FacePlanes, reduced, upright
from faceswap.training.losses import reconstruction_losses

MEASURE_EVERY = 100  # steps
_SHARE = 0.08  # of each person's faces
_FEWEST = 4  # measurements before anything is concluded
_GAIN = 0.01  # that the last third of a training has to bring, relative to the loss before, to be worth more time
_CHUNK = 32


def split(faces: FacePlanes) -> tuple[UInt8[Tensor, "kept planes side side"], UInt8[Tensor, "out planes side side"]]:
    """The faces to train on and those held out: the last ones, since neighbours in a video are all but equal."""
    last = max(1, round(_SHARE * len(faces)))
    return faces[:-last], faces[-last:]


@torch.inference_mode()
def held_out_loss(
    model: SwapModel, faces: Mapping[str, FacePlanes], config: TrainConfig, device: torch.device
) -> float:
    """The mean over persons of the reconstruction loss on undamaged faces."""
    losses: list[Tensor] = []
    for person, theirs in faces.items():
        for some in torch.split(theirs, _CHUNK):
            batch = upright(reduced(some, round(1.5 * model.config.size)).to(device), model.config.size)
            loss = reconstruction_losses(model.decode(model.encode(batch.input), person), batch, config).total
            losses.append(loss * len(some) / (len(theirs) * len(faces)))
    return float(torch.stack(losses).sum())


def has_plateaued(history: Sequence[tuple[int, float]], since: int = 0) -> bool:
    """Whether the last third of all steps since step `since` has made the held-out loss less than 1 % smaller.

    `history` holds steps and losses.
    """
    recent = [(step - since, loss) for step, loss in history if step > since]
    if len(recent) < _FEWEST:
        return False
    begun = recent[-1][0] * 2 / 3
    earlier = [loss for step, loss in recent if step <= begun]
    later = [loss for step, loss in recent if step > begun]
    return min(later) > (1 - _GAIN) * min(earlier)
