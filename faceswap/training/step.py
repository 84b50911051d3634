"""Training, to be read top to bottom: the loop, which is a generator, and one step.

    for metrics in train(state, stages, budget):    # the caller saves, shows, stops
        ...

What changes is in state.py; what a training consists of is in stages.py; what a step makes small is in losses.py. All
randomness depends on (seed, step), so that 2N steps equal N steps, a save, a load, and N steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from faceswap.config import TrainConfig
from faceswap.model.bottleneck import CodeAssignment
from faceswap.model.swap_model import SwapModel
from faceswap.seeds import seed_of
from faceswap.training.bank import Batch
from faceswap.training.critics import pairs_of
from faceswap.training.guard import Guard
from faceswap.training.losses import Losses, ObjectiveResult
from faceswap.training.ranks import Ranks
from faceswap.training.stages import Stage, stage_at
from faceswap.training.state import Budget, TrainState, enter


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What one step was like. Tensors stay on the device, so that nobody waits for them who does not read them."""

    step: int
    stage: str
    """By name: see `faceswap.training.stages`."""
    seconds: float
    progress: float
    """Of the budget, 0..1."""
    losses: Mapping[str, Losses]
    """By person."""
    latent: Mapping[str, Tensor]
    """What is known of the latent, by name: see `faceswap.training.losses`."""
    learning_rate: float
    faces_per_second: float
    """Over the last steps, all persons and ranks counted."""
    waited: float
    """Seconds that steps have waited for data since this stretch began."""


def train(state: TrainState, stages: Sequence[Stage], budget: Budget) -> Iterator[Metrics]:
    """Train until `budget` is used up, one step per item.

    Raises TrainingError if it diverges again and again.
    """
    before, rate = time.perf_counter(), 0.0
    guard = Guard(state)
    while (progress := _progress(state, budget)) < 1:
        # What is due.
        stage, done = stage_at(stages, progress)
        if stage.kind.name != state.stage:
            enter(state, stage.kind)
            rate = 0.0
        since = state.step - max(state.stage_step, budget.start_step)
        learning_rate = stage.kind.pace * schedule(state.config, since, done)

        # The step.
        difficulty = 1 - state.config.easing * done
        batches = {person: bank.batch(state.step, difficulty) for person, bank in stage.banks.items()}
        outcome, finite = train_step(state, batches, learning_rate, done if stage.critics else None)
        guard.watch(finite)

        # What it was like.
        now = time.perf_counter()
        took, before = now - before, now
        state.seconds += took
        faces = state.ranks.world * sum(len(batch.input) for batch in batches.values())
        rate = faces / took if rate == 0 else rate + 0.1 * (faces / took - rate)
        yield Metrics(
            step=state.step,
            stage=state.stage,
            seconds=state.seconds,
            progress=budget.progress(state.step, state.seconds),
            losses={person: losses.detach() for person, losses in outcome.persons.items()},
            latent={name: value.detach() for name, value in outcome.latent.items()},
            learning_rate=learning_rate,
            faces_per_second=rate,
            waited=sum(bank.seconds_waited for stage in stages for bank in stage.banks.values()),
        )
        del outcome  # not to be kept while the next step makes its own
        before = time.perf_counter()  # what the caller does meanwhile is not training time


def _progress(state: TrainState, budget: Budget) -> float:
    """How much of the budget is used; where that hangs on a clock, by the first rank's."""
    progress = budget.progress(state.step, state.seconds)
    return progress if budget.seconds is None else state.ranks.broadcast_value(progress, state.device)


def train_step(
    state: TrainState, batches: Mapping[str, Batch], learning_rate: float, progress: float | None = 0.0
) -> tuple[ObjectiveResult, Tensor]:
    """One optimizer step on one batch per person; what came of it, and whether the gradient was finite and so used.

    `progress` is the stage's, for the critics; None where they have no say.
    """
    state.model.train()
    seed = seed_of(state.config.seed, state.step)
    rng = torch.Generator(state.device).manual_seed(seed)
    outcome = state.objective(batches, _noise(state, batches, rng), _beta(state))
    critics = state.critics if progress is not None else ()
    pairs = pairs_of(outcome.decoded, batches, seed) if critics else {}

    loss = outcome.total
    for critic in critics:
        loss = loss + critic.loss(pairs, progress or 0.0)

    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), state.config.clip_norm or math.inf)
    finite = torch.isfinite(norm)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate * group["share"] * state.lr_scale
    state.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # skips the step, without being waited for
    state.optimizer.step()

    if outcome.encoded is not None:
        assigned = [_of_all_ranks(codes, state.ranks, len(batches)) for codes in outcome.encoded.assigned]
        state.model.bottleneck.update_codebooks(assigned, rng)
    for critic in critics:
        critic.learn(pairs, progress or 0.0)
    state.step += 1
    update_average(state.average, state.model, state.step - state.stage_step, state.config.ema_spread)
    return outcome, finite


def _of_all_ranks(assigned: CodeAssignment, ranks: Ranks, persons: int) -> CodeAssignment:
    return CodeAssignment(
        ranks.all_gather(assigned.vectors.detach(), persons), ranks.all_gather(assigned.codes, persons)
    )


def _noise(state: TrainState, batches: Mapping[str, Batch], rng: torch.Generator) -> Tensor:
    """Standard normal numbers for the latents of all batches: this rank's share of what one process would draw."""
    faces = len(next(iter(batches.values())).input) * state.ranks.world
    shape = (len(batches), faces, state.model.bottleneck.length)
    drawn = torch.randn(shape, generator=rng, device=state.device)
    return drawn[:, state.ranks.share(faces)].flatten(0, 1)


def _beta(state: TrainState) -> Tensor:
    """The weight of the KL divergence in this step."""
    risen = min(1.0, (state.step + 1) / max(1, state.config.kl_warmup_steps))
    return torch.full((), state.config.beta * risen, device=state.device)


def schedule(config: TrainConfig, step: int, progress: float) -> float:
    """The learning rate: a short linear warm-up, then half a cosine down to a hundredth at the end of the budget."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warmup * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)


@torch.no_grad()
def update_average(average: SwapModel, model: SwapModel, step: int, spread: float) -> None:
    """Move the averaged weights towards the current ones.

    A power-function average (Karras et al., 2024, "Analyzing and improving the training dynamics of diffusion
    models"): its window is `spread` of the training so far, whatever its length, so it needs no tuning to it.
    """
    beta = (1 - 1 / step) ** (_power(spread) + 1)
    ours: list[Tensor] = [*average.parameters(), *average.buffers()]
    theirs: list[Tensor] = [*model.parameters(), *model.buffers()]
    torch._foreach_lerp_(ours, theirs, 1 - beta)


def _power(spread: float) -> float:
    """The exponent whose average has this relative width: a root of that paper's cubic (appendix C)."""
    t = spread**-2
    return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())
