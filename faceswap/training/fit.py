"""Finding the code of a person whom the network has never seen: all else stays as it is."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from faceswap.config import TrainConfig
from faceswap.model.decoder import ConditionalDecoder
from faceswap.model.swap_model import SwapModel
from faceswap.training.bank import Batch
from faceswap.training.losses import reconstruction_losses

_STEPS, _RATE = 60, 0.05


def fit_codes(
    model: SwapModel, shown: Batch, config: TrainConfig, each: bool = False
) -> Float[Tensor, "persons code"]:
    """The code with which a conditional `model` gives the faces `shown` back best, or one for `each` of them; sought
    from the mean of all codes that it has."""
    decoders = model.decoders
    if not isinstance(decoders, ConditionalDecoder):
        raise TypeError("only a conditional decoder has codes")
    with torch.no_grad():
        features = model.bottleneck.decode(model.encode(shown.input))
        codes = decoders.codes.mean(dim=0).repeat(len(features) if each else 1, 1)
    codes.requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=_RATE)
    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        decoded = model.picture(decoders.draw(features, codes))
        (codes.grad,) = torch.autograd.grad(reconstruction_losses(decoded, shown, config).total, codes)
        optimizer.step()  # the loss is a mean over faces, but Adam does not mind its scale
    return codes.detach()
