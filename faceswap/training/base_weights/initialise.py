"""How new persons begin from base weights: first it is found whom each of them is like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from faceswap.config import TrainConfig
from faceswap.model.base_weights import Weights, base_model, start_from
from faceswap.model.swap_model import SwapModel, conditional, picture
from faceswap.training.bank import Bank, Batch
from faceswap.training.losses import reconstruction_losses
from faceswap.training.state import TrainState

Codes = Float[Tensor, "persons code"]

_STEPS, _RATE = 60, 0.05
_FACES = 24  # of a person, by which their code is found


def initialise_from_base(state: TrainState, base: Weights, banks: Mapping[str, Bank]) -> Iterator[float]:
    """Have a model that has not been trained yet begin with base weights, and each person as the code that the faces in
    their bank are given back best with. Says how much of that is done, 0..1."""
    everybody = base_model(state.model.config, base).to(state.device)
    persons, codes = everybody.config.persons, {}
    for number, person in enumerate(persons):
        for step, fitted in enumerate(_fitting(everybody, banks[person].shown(_FACES), state.config, each=False)):
            codes[person] = fitted[0]
            yield (number + step / _STEPS) / len(persons)
    start_from(state.model, base, [codes[person] for person in persons])
    state.ranks.broadcast(list(state.model.parameters()))
    state.average.load_state_dict(state.model.state_dict())


def fit_codes(model: SwapModel, shown: Batch, config: TrainConfig) -> Codes:
    """The codes with which a conditional `model` gives each of the faces `shown` back best."""
    *_, codes = _fitting(model, shown, config, each=True)
    return codes


def _fitting(model: SwapModel, shown: Batch, config: TrainConfig, each: bool) -> Iterator[Codes]:
    """Codes that get better step by step, one for `each` face or one for all; sought from the mean of all that there
    are."""
    decoders = conditional(model)
    with torch.no_grad():
        features = model.bottleneck.decode(model.encode(shown.input))
        codes = decoders.codes.mean(dim=0).repeat(len(features) if each else 1, 1)

    codes.requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=_RATE)

    for step in range(_STEPS):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / _STEPS)
        decoded = picture(decoders.draw(features, codes).logits)
        (codes.grad,) = torch.autograd.grad(reconstruction_losses(decoded, shown, config).total, codes)
        optimizer.step()  # the loss is a mean over faces, but Adam does not mind its scale
        yield codes.detach()
