"""Training, to be read top to bottom: the state, one step, and the loop, which is a generator.

    for metrics in train(state, banks, budget):     # the caller saves, shows, stops
        ...

All randomness depends on (seed, step), so that 2N steps equal N steps, a save, a load, and N steps.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faceswap.config import ModelConfig, TrainConfig
from faceswap.errors import TrainingError
from faceswap.model.swap_model import SwapModel, build_model
from faceswap.training.bank import Bank, Batch
from faceswap.training.losses import Losses, reconstruction_losses

_PATIENCE = 20  # steps in a row whose gradient may be no number before training gives up


@dataclass(frozen=True)
class Budget:
    """How long to train: by steps or by seconds, counted from where this stretch of training began."""

    steps: int | None = None
    seconds: float | None = None
    start_step: int = 0
    start_seconds: float = 0.0

    def progress(self, step: int, seconds: float) -> float:
        """How much of the budget is used, 0..1; seconds count only where no steps are given."""
        if self.steps is not None:
            return min(1.0, (step - self.start_step) / max(1, self.steps))
        return min(1.0, (seconds - self.start_seconds) / max(1e-3, self.seconds or 0.0))


@dataclass
class TrainState:
    """All that changes while training; what a checkpoint holds."""

    model: SwapModel
    average: SwapModel
    """The model with its weights averaged over the recent past: steadier, and the one to swap with."""
    optimizer: torch.optim.AdamW
    config: TrainConfig
    step: int = 0
    seconds: float = 0.0
    """Spent in training so far, all stretches together."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device


@dataclass(frozen=True)
class Metrics:
    """What one step was like."""

    step: int
    seconds: float
    progress: float
    """Of the budget, 0..1."""
    losses: Mapping[str, Losses]
    """By person; tensors on the device, so that nobody waits for them who does not read them."""
    learning_rate: float
    faces_per_second: float
    """Over the last steps, all persons counted."""
    waited: float
    """Seconds that steps have waited for data since this stretch began."""


def start_training(model_config: ModelConfig, config: TrainConfig, device: torch.device) -> TrainState:
    """A fresh model and optimizer on `device`."""
    model = build_model(model_config, config.seed).to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )
    return TrainState(model, average, optimizer, config)


def train(state: TrainState, banks: Mapping[str, Bank], budget: Budget) -> Iterator[Metrics]:
    """Train until `budget` is used up, one step per item. `banks` has one bank per person of the model."""
    before, rate, bad_steps = time.perf_counter(), 0.0, 0
    while (progress := budget.progress(state.step, state.seconds)) < 1:
        difficulty = 1 - state.config.easing * progress
        batches = {person: bank.batch(state.step, difficulty) for person, bank in banks.items()}
        learning_rate = schedule(state.config, state.step - budget.start_step, progress)
        losses, sound = train_step(state, batches, learning_rate)
        bad_steps = 0 if sound else bad_steps + 1
        if bad_steps >= _PATIENCE:
            raise TrainingError(
                f"training diverged: {_PATIENCE} steps in a row gave no finite gradient",
                "Start again from the last checkpoint with a lower learning rate",
            )
        now = time.perf_counter()
        took, before = now - before, now
        state.seconds += took
        faces = sum(len(batch.input) for batch in batches.values())
        rate = faces / took if rate == 0 else rate + 0.1 * (faces / took - rate)
        yield Metrics(
            state.step,
            state.seconds,
            budget.progress(state.step, state.seconds),
            losses,
            learning_rate,
            rate,
            sum(bank.seconds_waited for bank in banks.values()),
        )
        before = time.perf_counter()  # what the caller does meanwhile is not training time


def train_step(state: TrainState, batches: Mapping[str, Batch], learning_rate: float) -> tuple[dict[str, Losses], bool]:
    """One optimizer step on one batch per person; the losses, and whether the gradient was finite and used.

    Everybody's faces pass the encoder as one batch; each person's latents then go to that person's decoder.
    """
    state.model.train()
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    inputs = torch.cat([batch.input for batch in batches.values()]).to(memory_format=torch.channels_last)
    with mixed_precision(state.device):
        latents = torch.split(state.model.encode(inputs), [len(batch.input) for batch in batches.values()])
        decoded = {person: state.model.decode(latent, person) for person, latent in zip(batches, latents, strict=True)}
    losses = {person: reconstruction_losses(decoded[person], batch, state.config) for person, batch in batches.items()}
    state.optimizer.zero_grad(set_to_none=True)
    torch.stack([loss.total for loss in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]  # torch's
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), state.config.clip_norm)
    sound = bool(torch.isfinite(norm))
    if sound:
        state.optimizer.step()
    state.step += 1
    update_average(state.average, state.model, state.step, state.config.ema_spread)
    return {person: loss.detach() for person, loss in losses.items()}, sound


def schedule(config: TrainConfig, step: int, progress: float) -> float:
    """The learning rate: a short linear warm-up, then half a cosine down to a hundredth at the end of the budget."""
    warmup = min(1.0, (step + 1) / config.warmup_steps)
    return config.learning_rate * warmup * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


@torch.no_grad()
def update_average(average: SwapModel, model: SwapModel, step: int, spread: float) -> None:
    """Move the averaged weights towards the current ones.

    A power-function average (Karras et al., 2024, "Analyzing and improving the training dynamics of diffusion
    models"): its window is `spread` of the training so far, whatever its length, so it needs no tuning to it.
    """
    beta = (1 - 1 / step) ** (_power(spread) + 1)
    ours: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(model.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - beta)


def _power(spread: float) -> float:
    """The exponent whose average has this relative width: a root of that paper's cubic (appendix C)."""
    t = spread**-2
    return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where the hardware multiplies it faster than float32, else nothing."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False):
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def tensors_of(state: TrainState) -> dict[str, Tensor]:
    """The weights and the optimizer's moments, by name: what must be kept, beside the average, to go on exactly."""
    kept = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    for name, parameter in state.model.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            kept[f"optimizer.{key}.{name}"] = value
    return kept


@torch.no_grad()
def restore_tensors(state: TrainState, kept: Mapping[str, Tensor]) -> None:
    """Put back what `tensors_of` gave. Raises KeyError or RuntimeError if it is of another model."""
    state.model.load_state_dict({k.removeprefix("model."): v for k, v in kept.items() if k.startswith("model.")})
    for name, parameter in state.model.named_parameters():
        if f"optimizer.step.{name}" not in kept:
            continue
        state.optimizer.state[parameter] = {
            "step": kept[f"optimizer.step.{name}"].to(parameter.device),
            # In the parameter's own memory layout: the fused kernel walks through both side by side.
            "exp_avg": torch.empty_like(parameter).copy_(kept[f"optimizer.exp_avg.{name}"]),
            "exp_avg_sq": torch.empty_like(parameter).copy_(kept[f"optimizer.exp_avg_sq.{name}"]),
        }
