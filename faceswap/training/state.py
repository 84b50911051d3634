"""What training changes, and all that it takes to begin or to go on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from faceswap.config import ModelConfig, TrainConfig
from faceswap.model.decoder import ConditionalDecoder
from faceswap.model.detail import load_keeping_detail
from faceswap.model.swap_model import SwapModel, build_model
from faceswap.training.bank import Batch
from faceswap.training.critics import Critic, PatchDiscriminator, Perceptual
from faceswap.training.losses import ObjectiveResult
from faceswap.training.moments import moments_of, restore_moments
from faceswap.training.ranks import Ranks
from faceswap.training.stages import COARSE, KINDS, StageKind

_CODE_RATE = 20.0  # times the learning rate: a code learns only from its own person's faces


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train: by steps or by seconds, counted from where this stretch of training began; with neither,
    until the caller stops, at the full learning rate."""

    steps: int | None = None
    seconds: float | None = None
    start_step: int = 0
    start_seconds: float = 0.0
    until_plateau: bool = False
    """Whether this stretch belongs to a training that ends when it no longer gets better (`held_out.py`)."""

    @property
    def endless(self) -> bool:
        """Whether only the caller ends it."""
        return self.steps is None and self.seconds is None

    def progress(self, step: int, seconds: float) -> float:
        """How much of the budget is used, 0..1; seconds count only where no steps are given."""
        if self.steps is not None:
            return min(1.0, (step - self.start_step) / max(1, self.steps))
        if self.seconds is not None:
            return min(1.0, (seconds - self.start_seconds) / max(1e-3, self.seconds))
        return 0.0


@dataclass(kw_only=True)
class TrainState:
    """All that changes while training; what a checkpoint holds."""

    model: SwapModel
    average: SwapModel
    """The model with its weights averaged over the recent past: steadier, and the one to swap with."""
    optimizer: torch.optim.AdamW
    config: TrainConfig
    objective: Callable[[Mapping[str, Batch], Tensor, Tensor], ObjectiveResult]
    """The stage's, with the model in it, compiled and shared among ranks as the device and they ask for."""
    critics: Sequence[Critic] = ()
    ranks: Ranks = field(default_factory=Ranks)
    compiled: bool = False
    stage: str = COARSE
    """By name, the stage that the last step belonged to."""
    stage_step: int = 0
    """The step with which it began."""
    step: int = 0
    seconds: float = 0.0
    """Spent in training so far, all stretches together."""
    lr_scale: float = 1.0
    """Factor of the learning rate: halved whenever training had to step back."""
    held_out: list[tuple[int, float]] = field(default_factory=list)
    """The loss on faces that are not trained on, by step, where somebody measures it."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device


def start_training(
    model_config: ModelConfig,
    config: TrainConfig,
    device: torch.device,
    ranks: Ranks | None = None,
    compiled: bool = False,
    stage: str = COARSE,
) -> TrainState:
    """A fresh model and optimizer on `device`, in this stage; `config.batch_size` has to be settled.

    `compiled` has torch make kernels of its own for the objective at the first step, which takes about a minute. On a
    processor nothing is gained by that: the time goes into convolutions.
    """
    ranks = ranks or Ranks()
    model = build_model(model_config, config.seed).to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval().requires_grad_(False)

    codes = [model.decoders.codes] if isinstance(model.decoders, ConditionalDecoder) else []
    others = [p for p in model.parameters() if not any(p is code for code in codes)]
    groups = [
        {"params": others, "share": 1.0},
        {"params": codes, "share": _CODE_RATE, "weight_decay": 0.0},
    ]

    optimizer = torch.optim.AdamW(
        groups, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
    )

    critics: list[Critic] = []
    if config.perceptual > 0:
        critics.append(Perceptual(config.perceptual, device))
    if config.adversarial > 0:
        critics.append(PatchDiscriminator(config, model_config.persons, device, ranks))

    objective = _prepared(model, config, KINDS[stage], ranks, compiled)
    return TrainState(
        model=model,
        average=average,
        optimizer=optimizer,
        config=config,
        objective=objective,
        critics=critics,
        ranks=ranks,
        compiled=compiled,
        stage=stage,
    )


def enter(state: TrainState, kind: StageKind) -> None:
    """Have a stage of this kind begin with the next step.

    It begins with the averaged weights: those that stand still in it are what a swap will use.
    """
    state.model.load_state_dict(state.average.state_dict())
    state.stage, state.stage_step = kind.name, state.step
    state.objective = _prepared(state.model, state.config, kind, state.ranks, state.compiled)


def _prepared(model: SwapModel, config: TrainConfig, kind: StageKind, ranks: Ranks, compiled: bool) -> torch.nn.Module:
    """The objective of a stage, with only what learns in it free to do so."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(kind.learns(name))
        parameter.grad = None

    objective = kind.objective(model, config, next(model.parameters()).device)
    if compiled:
        objective.compile(fullgraph=True, dynamic=False)
    if ranks.world > 1:
        objective = DistributedDataParallel(objective, gradient_as_bucket_view=True)
    return objective


def tensors_of(state: TrainState) -> dict[str, Tensor]:
    """Weights, moments and critics, by name: what must be kept, beside the average, to go on exactly."""
    kept = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    for critic in state.critics:
        kept |= {f"{critic.name}.{name}": value for name, value in critic.tensors().items()}
    return kept | moments_of(state.optimizer, state.model.named_parameters())


def restore_tensors(state: TrainState, kept: Mapping[str, Tensor]) -> None:
    """Put back what `tensors_of` gave. Raises KeyError or RuntimeError if it is of another model."""
    load_keeping_detail(state.model, _under("model", kept))
    for critic in state.critics:
        critic.restore(_under(critic.name, kept))
    restore_moments(state.optimizer, state.model.named_parameters(), kept)


def _under(name: str, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in kept.items() if key.startswith(f"{name}.")}
