"""A model that trains in a blink, and faces for it: soft spots of different shades."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from faceswap.config import ModelConfig, TrainConfig
from faceswap.model.swap_model import SwapModel
from faceswap.training.bank import Bank, FacePlanes, Sample
from faceswap.training.stages import coarse_only
from faceswap.training.state import Budget, TrainState
from faceswap.training.step import Metrics, train

CPU = torch.device("cpu")
SMALL = ModelConfig(persons=("a", "b"), size=32, width=8, max_width=32, latent_size=16, tokens=4, codes=16)
CONFIG = TrainConfig(batch_size=4, warmup_steps=2)


def spots(seed: int, count: int = 12, side: int = 48) -> FacePlanes:
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[0:side, 0:side]
    made = []
    for _ in range(count):
        shade, x, y = rng.integers(60, 200, 3), *rng.uniform(0.4, 0.6, 2)
        spot = np.exp(-(((xx / side - x) ** 2 + (yy / side - y) ** 2) / 0.05))
        picture = (shade * spot[..., None] + 30).clip(0, 255).astype(np.uint8)
        mask = (spot * 255).astype(np.uint8)
        made.append(Sample(picture, mask, (mask // 2).astype(np.uint8)).planes())
    return torch.stack(made)


@contextmanager
def open_banks(
    step: int = 0, config: TrainConfig = CONFIG, model: ModelConfig = SMALL, share: slice | None = None
) -> Iterator[dict[str, Bank]]:
    banks = {p: Bank(spots(i), model.size, config, i, step, CPU, share=share) for i, p in enumerate(model.persons)}
    try:
        yield banks
    finally:
        for bank in banks.values():
            bank.close()


def run_steps(state: TrainState, steps: int, budget: Budget | None = None) -> list[Metrics]:
    """The metrics of `steps` steps, or fewer if the budget ends before."""
    with open_banks(state.step, state.config, state.model.config) as banks:
        loop = train(
            state, coarse_only(state.model.config, banks), budget or Budget(steps=state.step + steps, start_step=0)
        )
        return [metrics for _, metrics in zip(range(steps), loop, strict=False)]


def weights(model: SwapModel) -> torch.Tensor:
    """All that a model has learnt, codebooks among it."""
    return torch.cat([value.detach().flatten().float() for value in model.state_dict().values()])


def mean_loss(metrics: list[Metrics]) -> float:
    return float(np.mean([sum(float(loss.total) for loss in m.losses.values()) for m in metrics]))


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
