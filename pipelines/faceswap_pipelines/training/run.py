"""Train: from two or more facesets to a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from faceswap.faces.examples import write_examples
from faceswap.faces.occlusion import OcclusionFinder
from faceswap.faces.skin import write_skins
from faceswap.model.base_weights import load_base
from faceswap.model.folder import read_config
from faceswap.model.identities import write_identities
from faceswap.training.bank import Bank, FacePlanes, reduced
from faceswap.training.base_weights.initialise import initialise_from_base
from faceswap.training.close_ups import CloseUps
from faceswap.training.guard import clear_about_memory
from faceswap.training.held_out import MEASURE_EVERY, has_plateaued, held_out_loss, split
from faceswap.training.preview import preview_rows
from faceswap.training.ranks import open_ranks
from faceswap.training.stacked import pretrain_stacked
from faceswap.training.stages import COARSE, DETAIL, plan
from faceswap.training.state import Budget, TrainState
from faceswap.training.step import Metrics
from faceswap.training.step import train as train_steps
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.training.data import MARGIN, load_faces, place_for
from faceswap_pipelines.training.job import TrainJob, TrainResult
from faceswap_pipelines.training.persons import examples, identities, skins
from faceswap_pipelines.training.prepare import budget_of, open_state, prepared_folder
from faceswap_pipelines.training.record import Recorder, recording, shown_names

_COOLDOWN = 4  # a training that has reached its plateau goes on for a quarter of its steps, ever more slowly
_CLOSING_DETAIL = 0.6  # share of the detail stage in what comes behind a plateau


@dataclass(frozen=True)
class _Faces:
    """What a training learns from and is measured by, by person."""

    banks: dict[str, Bank]
    close_ups: dict[str, CloseUps]
    held_out: dict[str, FacePlanes]


def train(job: TrainJob) -> Run[TrainResult]:
    """Train `job.model`, going on from its last checkpoint if it has one.

    A run that was stopped goes on with what was left of its budget when it is started with the same one again;
    a model whose run was finished is trained for the budget given, on top. Under torchrun all ranks call this.
    """
    wanted = budget_of(job)
    with ExitStack() as stack:
        # The model's folder, and the state to go on from.
        ranks, device = stack.enter_context(open_ranks(pick_device(job.device)))
        if ranks.first:
            stack.enter_context(prepared_folder(job, device, ranks))
            write_identities(job.model, identities(job.facesets))
            known = read_config(job.model)
            mirror, side = known.train.mirror, known.model.output_size
            write_skins(job.model, (yield from skins(job.facesets, mirror, device)))
            write_examples(job.model, (yield from examples(job.facesets, side=side, mirror=mirror, device=device)))
        ranks.broadcast_value(0.0, device)  # the others wait until the folder is there
        state, begun = open_state(job, wanted, device, ranks)
        stack.enter_context(clear_about_memory(state.config))

        # Faces, and what comes before the first step.
        faces = yield from _load(job, state, begun, stack)
        if state.step == 0:
            yield from _begin(state, faces.banks, read_config(job.model).base)

        # Step by step.
        shown = faces.close_ups if state.model.config.detail else faces.banks
        preview = partial(preview_rows, state.average, shown, shown_names(job.model))
        recorder = Recorder(job.model, job.save_every, state, begun, rows=preview, tensorboard=job.tensorboard)
        stack.enter_context(recording(recorder))
        metrics: Metrics | None = None
        latent: Mapping[str, Tensor] = {}
        for budget, metrics in _trained(state, faces, begun):
            recorder.note(metrics, budget)
            latent = metrics.latent or latent  # of the coarse stage: in the next one it does not change
            yield _progress(metrics, budget, state)

    return TrainResult(
        model=str(job.model),
        steps=state.step,
        minutes=state.seconds / 60,
        faces_per_second=metrics.faces_per_second if metrics else 0.0,
        losses=_losses(metrics) if metrics else {},
        latent={name: float(value) for name, value in latent.items()},
        held_out=state.held_out[-1][1] if state.held_out else None,
        waited=metrics.waited if metrics else 0.0,
        preview=str(recorder.preview),
    )


def _load(job: TrainJob, state: TrainState, budget: Budget, stack: ExitStack) -> Run[_Faces]:
    """Every person's faces, small and damaged for the coarse stage, large for that of detail; closed with `stack`."""
    if not budget.until_plateau:
        state.held_out.clear()  # of an earlier training; this one learns from all faces
    model, config = state.model.config, state.config
    side = round(MARGIN * model.output_size)
    place = place_for(job.facesets, side, state.device, job.model)
    share = state.ranks.share(config.batch_size)
    finder = OcclusionFinder(state.device) if config.occlusion else None

    loaded = _Faces({}, {}, {})
    for number, person in enumerate(model.persons):
        faces = yield from load_faces(job.facesets[person], side, place, person, finder=finder, mirror=config.mirror)
        if budget.until_plateau:
            faces, loaded.held_out[person] = split(faces)

        small = reduced(faces, round(MARGIN * model.size), place)
        bank = Bank(
            small,
            model.size,
            config,
            person=number,
            step=state.step,
            device=state.device,
            share=share,
            folder=place,
        )
        stack.callback(bank.close)
        close_ups = CloseUps(faces, model, config, person=number, device=state.device, share=share)
        stack.callback(close_ups.close)
        loaded.banks[person], loaded.close_ups[person] = bank, close_ups
    return loaded


def _begin(state: TrainState, banks: Mapping[str, Bank], base: str) -> Run[None]:
    """What comes before the first step."""
    if base:
        for done in initialise_from_base(state, load_base(base), banks):
            yield Progress(
                title="Looking for faces like these among those known", done=round(100 * done), total=100, unit="%"
            )
    elif state.config.stacked_steps:
        for layer in pretrain_stacked(state, banks):
            title = f"Pre-training layer {layer.layer + 1} of {layer.layers}"
            yield Progress(title=title, done=layer.step, total=state.config.stacked_steps, unit="steps")


def _trained(state: TrainState, faces: _Faces, budget: Budget) -> Iterator[tuple[Budget, Metrics]]:
    """Train for `budget`; behind one that ends at a plateau comes another, in which training cools down and learns
    detail."""
    yield from _stretch(state, faces, budget)
    if budget.endless:
        yield from _stretch(state, faces, _cooldown(state, budget))


def _stretch(state: TrainState, faces: _Faces, budget: Budget) -> Iterator[tuple[Budget, Metrics]]:
    """Steps until the budget is used up, or the held-out faces get no better."""
    closing = budget.until_plateau and not budget.endless
    share = _CLOSING_DETAIL if closing else state.config.detail_share
    stages = plan(state.model.config, faces.banks, faces.close_ups, share)
    steps = train_steps(state, stages, budget)

    # Asked before each step: one that goes on after a stop may have reached its plateau with the last one.
    while not (budget.endless and has_plateaued(state.held_out, budget.start_step)):
        metrics = next(steps, None)
        if metrics is None:
            return
        if faces.held_out and state.stage == COARSE and state.step % MEASURE_EVERY == 0:
            loss = held_out_loss(state.average, faces.held_out, state.config, state.device)
            state.held_out.append((state.step, state.ranks.broadcast_value(loss, state.device)))
        yield budget, metrics


def _cooldown(state: TrainState, budget: Budget) -> Budget:
    """What comes behind a plateau."""
    steps = max(MEASURE_EVERY, (state.step - budget.start_step) // _COOLDOWN)
    if state.model.config.detail:
        steps = round(steps / (1 - _CLOSING_DETAIL))
    return Budget(steps=steps, seconds=None, start_step=state.step, start_seconds=state.seconds, until_plateau=True)


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
        title = "Sharpening" if metrics.stage == DETAIL else "Cooling down" if budget.until_plateau else "Training"
        return Progress(title=title, done=metrics.step - budget.start_step, total=budget.steps, unit="steps", note=note)

    if budget.seconds is None:
        return Progress(
            title="Training until the plateau",
            done=metrics.step - budget.start_step,
            total=None,
            unit="steps",
            note=note,
        )

    title = "Sharpening" if metrics.stage == DETAIL else "Training"
    return Progress(
        title=title, done=metrics.seconds - budget.start_seconds, total=budget.seconds, unit="seconds", note=note
    )
