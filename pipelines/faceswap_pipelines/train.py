"""Train: from two or more facesets to a model."""

from __future__ import annotations

import dataclasses
import shutil
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from faceswap.config import PRESETS, SETTINGS_OF, ModelConfig, TrainConfig, from_dict
from faceswap.errors import ConfigError, ModelError, OutputError
from faceswap.training.bank import Bank, Faces
from faceswap.training.checkpoint import create_model_folder, load_checkpoint, read_config
from faceswap.training.critics import Critic, Perceptual
from faceswap.training.guard import clear_about_memory
from faceswap.training.held_out import MEASURE_EVERY, has_plateaued, held_out_loss, split
from faceswap.training.memory import settle_batch_size
from faceswap.training.ranks import Ranks, open_ranks
from faceswap.training.stacked import pretrain_stacked
from faceswap.training.state import Budget, TrainState, start_training
from faceswap.training.step import Metrics, train
from faceswap_pipelines.job import Job, Progress, pick_device
from faceswap_pipelines.train_data import load_faces, place_for
from faceswap_pipelines.train_record import Recorder, recording

_MARGIN = 1.5  # faces lie in the bank this much larger than the model's picture, so that turning them does not blur
_SETTLING = 4  # a training that has reached its plateau goes on for a quarter of its steps, ever more slowly
_WORTH_COMPILING = 300.0, 2000  # seconds or steps of a budget; compiling takes about a minute


@dataclass(frozen=True)
class TrainJob:
    """What to train, and for how long."""

    facesets: Mapping[str, Path]
    """By the person's name."""
    model: Path
    preset: str | None = None
    """For a new model; None is nano."""
    minutes: float | None = None
    steps: int | None = None
    until_plateau: bool = False
    """Exactly one of `minutes`, `steps` and `until_plateau`."""
    resume: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By name, for fields of ModelConfig or TrainConfig: in place of the preset's and the defaults. Those of an
    existing network cannot be changed any more, those of its training can."""
    vgg: Path | None = None
    """Weights for the perceptual loss: see `faceswap.training.critics`."""
    tensorboard: bool = False
    device: str = "auto"
    save_every: float = 30.0
    """Seconds of training that a killed process can cost."""


@dataclass(frozen=True)
class TrainResult:
    """What came of it."""

    model: str
    steps: int
    minutes: float
    """Spent on this model so far, earlier runs counted."""
    faces_per_second: float
    losses: dict[str, float]
    """By person."""
    latent: dict[str, float]
    """What is known of the latent: KL divergence, perplexity, ELBO..., where they apply."""
    held_out: float | None
    """Loss on faces that were not trained on, if some were held out."""
    waited: float
    """Seconds that steps waited for data."""
    preview: str


def train_model(job: TrainJob) -> Job[TrainResult]:
    """Train `job.model`, going on from its last checkpoint if it has one.

    A run that was stopped goes on with what was left of its budget when it is started with the same one again;
    a model whose run was finished is trained for the budget given, on top. Under torchrun all ranks call this.
    """
    wanted = _budget(job)
    with ExitStack() as stack:
        ranks, device = stack.enter_context(open_ranks(pick_device(job.device)))
        if ranks.first:
            _settle_folder(job, device, ranks)
        ranks.agreed(0.0, device)  # the others wait until the folder is there
        state, budget = _open_state(job, wanted, device, ranks)
        config = state.model.config
        stack.enter_context(clear_about_memory(state.config))
        if not budget.until_plateau:
            state.held_out.clear()  # of an earlier training; this one learns from all faces
        place = place_for(job.facesets, round(_MARGIN * config.size), device, job.model)
        banks, held_out = {}, {}
        for number, person in enumerate(config.persons):
            faces = yield from load_faces(job.facesets[person], round(_MARGIN * config.size), place, person)
            if budget.until_plateau:
                faces, held_out[person] = split(faces)
            share = ranks.share(state.config.batch_size)
            bank = Bank(faces, config.size, state.config, number, state.step, device, share, place)
            stack.callback(bank.close)
            banks[person] = bank
        if state.step == 0 and state.config.stacked_steps:
            for layer in pretrain_stacked(state, banks):
                title = f"Pre-training layer {layer.layer + 1} of {layer.layers}"
                yield Progress(title, layer.step, state.config.stacked_steps, "steps")
        recorder = Recorder(job.model, job.save_every, state, banks, job.tensorboard)
        budgets = [budget]
        stack.enter_context(recording(recorder, budgets))
        metrics = None
        for metrics in _trained(state, banks, budgets, held_out):
            recorder.note(metrics, budgets[-1])
            yield _progress(metrics, budgets[-1], state)
    return TrainResult(
        str(job.model),
        state.step,
        state.seconds / 60,
        metrics.faces_per_second if metrics else 0.0,
        _losses(metrics) if metrics else {},
        {name: float(value) for name, value in metrics.latent.items()} if metrics else {},
        state.held_out[-1][1] if state.held_out else None,
        metrics.waited if metrics else 0.0,
        str(recorder.preview),
    )


def _trained(
    state: TrainState, banks: Mapping[str, Bank], budgets: list[Budget], held_out: Mapping[str, Faces]
) -> Iterator[Metrics]:
    """Train for each of `budgets`; to one that ends at a plateau another is added, in which training settles."""
    for budget in budgets:
        steps = train(state, banks, budget)
        while not (enough := budget.endless and has_plateaued(state.held_out, budget.start_step)):
            metrics = next(steps, None)
            if metrics is None:
                break
            if held_out and state.step % MEASURE_EVERY == 0:
                loss = held_out_loss(state.average, held_out, state.config, state.device)
                state.held_out.append((state.step, state.ranks.agreed(loss, state.device)))
            yield metrics
        if enough:
            settling = max(MEASURE_EVERY, (state.step - budget.start_step) // _SETTLING)
            budgets.append(Budget(settling, None, state.step, state.seconds, until_plateau=True))


def _budget(job: TrainJob) -> Budget:
    given = [job.minutes is not None, job.steps is not None, job.until_plateau]
    if sum(given) != 1 or (not job.until_plateau and not (job.minutes or job.steps or 0) > 0):
        raise ConfigError(
            "training needs one of minutes, steps (above zero) or until-plateau", "Add for example --minutes 10"
        )
    return Budget(job.steps, None if job.minutes is None else job.minutes * 60, until_plateau=job.until_plateau)


def _settle_folder(job: TrainJob, device: torch.device, ranks: Ranks) -> None:
    """Make the folder of a new model, or see that an existing one is what the job says."""
    network = {name: value for name, value in job.settings.items() if name in _names(ModelConfig)}
    training = {name: value for name, value in job.settings.items() if name not in network}
    preset = job.preset or "nano"
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset '{preset}'", f"Choose one of: {', '.join(PRESETS)}")
    if "persons" in network:
        raise ConfigError("persons is not a setting", "Name each with its faceset: --person NAME=FACESET")
    if not (job.model / "config.toml").exists():
        base = dataclasses.asdict(PRESETS[preset]) | {"persons": list(job.facesets)}
        config = from_dict(ModelConfig, base | network, "settings")
        _write_settings(job, config, from_dict(TrainConfig, training, "settings"), device, ranks)
        return
    if not job.resume:
        raise OutputError(f"there is a model in {job.model} already", "Name another folder, or leave out --no-resume")
    known = read_config(job.model)
    if set(known.model.persons) != set(job.facesets):
        raise ModelError(
            f"the model {job.model} is of the persons {', '.join(known.model.persons)}, not {', '.join(job.facesets)}",
            "Name a faceset for each of its persons, or a new model folder",
        )
    for name in ("size", "width", "max_width", "latent_size", "blocks") if job.preset else ():
        network.setdefault(name, getattr(PRESETS[preset], name))
    for name, value in network.items():
        if getattr(known.model, name) != value:
            raise ModelError(
                f"the model {job.model} was made with {name} {getattr(known.model, name)!r}, not {value!r}",
                "Leave that out, or train a new model in another folder",
            )
    kept = {field.name: getattr(known.train, field.name) for field in dataclasses.fields(known.train)}
    settings = from_dict(TrainConfig, kept | training, "settings")
    _write_settings(job, known.model, settings, device, ranks)


def _write_settings(
    job: TrainJob, model: ModelConfig, settings: TrainConfig, device: torch.device, ranks: Ranks
) -> None:
    """Write config.toml, when nothing speaks against these settings any more."""
    for name in job.settings:
        latents = SETTINGS_OF.get(name, (model.latent,))
        if model.latent not in latents:
            raise ConfigError(
                f"{name} has no effect on a {model.latent} latent",
                f"Leave it out, or train a model with --latent {latents[0]}",
            )
    _critics(job, settings, device)
    settled = settle_batch_size(model, settings, device, ranks.world)
    ranks.share(settled.batch_size)
    create_model_folder(job.model, model, settled)


def _names(kind: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _open_state(job: TrainJob, wanted: Budget, device: torch.device, ranks: Ranks) -> tuple[TrainState, Budget]:
    """The state to go on from, a fresh one for a new model, and the budget of this run."""
    known = read_config(job.model)
    critics = _critics(job, known.train, device)
    compiled = device.type == "cuda" and _can_compile() and _worth_compiling(wanted)
    loaded = load_checkpoint(job.model, device, ranks, critics, compiled)
    if loaded is None:
        return start_training(known.model, known.train, device, ranks, critics, compiled), wanted
    state, before = loaded
    unfinished = before.progress(state.step, state.seconds) < 1
    if unfinished and _same(before, wanted):
        return state, before
    return state, dataclasses.replace(wanted, start_step=state.step, start_seconds=state.seconds)


def _same(before: Budget, wanted: Budget) -> bool:
    """Whether this is what was asked for the last time; the steps of one that settles were its own idea."""
    if before.until_plateau:
        return wanted.until_plateau
    return (before.steps, before.seconds, False) == (wanted.steps, wanted.seconds, wanted.until_plateau)


def _critics(job: TrainJob, settings: TrainConfig, device: torch.device) -> list[Critic]:
    if settings.perceptual == 0:
        if job.vgg is not None:
            raise ConfigError("the weights of VGG-16 are not asked for", "Add --set perceptual=0.1, or leave out --vgg")
        return []
    if job.vgg is None:
        raise ConfigError(
            "the perceptual loss needs the weights of VGG-16, which do not ship",
            "Name their file with --vgg (the README says how to make it), or set perceptual=0",
        )
    return [Perceptual(settings.perceptual, job.vgg, device)]


def _can_compile() -> bool:
    """Whether torch finds what it needs to make kernels of its own: Triton, a C compiler, and Python's headers."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    compiler = any(shutil.which(name) for name in ("cc", "gcc", "clang"))
    return find_spec("triton") is not None and compiler and headers.is_file()


def _worth_compiling(budget: Budget) -> bool:
    seconds, steps = _WORTH_COMPILING
    return budget.until_plateau or (budget.seconds or 0) >= seconds or (budget.steps or 0) >= steps


def _losses(metrics: Metrics) -> dict[str, float]:
    return {person: float(loss.total) for person, loss in metrics.losses.items()}


def _progress(metrics: Metrics, budget: Budget, state: TrainState) -> Progress:
    note = f"{metrics.faces_per_second:.0f} faces/s"
    if metrics.step % 10 == 0:  # reading a loss waits for the device
        note += "".join(f"  {person} {loss:.3f}" for person, loss in _losses(metrics).items())
        note += "".join(f"  {name} {float(value):.4g}" for name, value in metrics.latent.items())
    if state.held_out:
        note += f"  held out {state.held_out[-1][1]:.4f}"
    if budget.steps is not None:
        title = "Settling" if budget.until_plateau else "Training"
        return Progress(title, metrics.step - budget.start_step, budget.steps, "steps", note)
    if budget.seconds is None:
        return Progress("Training until the plateau", metrics.step - budget.start_step, None, "steps", note)
    return Progress("Training", metrics.seconds - budget.start_seconds, budget.seconds, "seconds", note)
