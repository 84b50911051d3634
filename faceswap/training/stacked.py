"""Greedy layer-wise pre-training: a stack of denoising autoencoders (Vincent et al., 2010).

From the picture inwards, each stage of the encoder learns alone to keep what its input says: a layer made for it and
thrown away afterwards has to rebuild that input, of which a quarter was lost. Then all are trained together as usual.
This is how deep networks were trained before better initialisation; it still gives an encoder a start without swaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from torch import nn

from faceswap.model.blocks import Features, sub_pixel_conv
from faceswap.seeds import seed_of
from faceswap.training.bank import Bank
from faceswap.training.state import TrainState

_LOST = 0.25  # of the numbers that a stage is shown
_RATE = 1e-3


@dataclass(frozen=True, kw_only=True)
class LayerMetrics:
    """What one step of pre-training was like."""

    layer: int
    """0 is the one that sees the picture."""
    layers: int
    step: int
    """Of this layer, from 1."""
    loss: torch.Tensor
    """Mean squared error of the rebuilt input, by the input's own variance: 1 is no better than its mean."""


def pretrain_stacked(state: TrainState, banks: Mapping[str, Bank]) -> Iterator[LayerMetrics]:
    """Train each stage of the model's encoder for `state.config.stacked_steps` steps, one step per item.

    All ranks do the same. It is short, and not counted as training: one that was stopped begins anew.
    """
    batch = state.config.batch_size // state.ranks.world
    stages = list(state.model.encoder.stages)
    for layer, stage in enumerate(stages):
        before = nn.Sequential(*stages[:layer])
        rebuild = _mirror(stage, state.config.seed).to(state.device)
        learning = [*stage.parameters(), *rebuild.parameters()]
        optimizer = torch.optim.AdamW(learning, lr=_RATE, fused=True)

        for step in range(1, state.config.stacked_steps + 1):
            seed = seed_of(state.config.seed, layer, step)
            rng = torch.Generator(state.device).manual_seed(seed)

            faces = torch.cat([bank.draw(batch, seed).target for bank in banks.values()])
            with torch.no_grad():
                whole: Features = before(faces * 2 - 1)
                kept = torch.rand(whole.shape, generator=rng, device=state.device) > _LOST

            loss = F.mse_loss(rebuild(stage(whole * kept)), whole) / whole.var()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's
            optimizer.step()

            yield LayerMetrics(layer=layer, layers=len(stages), step=step, loss=loss.detach())

    state.ranks.broadcast(list(state.model.encoder.parameters()))


def _mirror(stage: nn.Module, seed: int) -> nn.Module:
    """One linear layer that leads back from a stage's output to its input."""
    convolution = next(layer for layer in stage.modules() if isinstance(layer, nn.Conv2d))
    first = any(isinstance(layer, nn.PixelUnshuffle) for layer in stage.modules())
    inputs = convolution.in_channels // 4 if first else convolution.in_channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(sub_pixel_conv(convolution.out_channels, inputs, 3), nn.PixelShuffle(2))
