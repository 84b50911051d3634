"""Train: from two or more facesets to a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial

from torch import Tensor

from faceswap.model.base_weights import load_base
from faceswap.model.folder import read_config
from faceswap.model.identities import write_identities
from faceswap.training.bank import Bank, Faces, reduced
from faceswap.training.base_weights.initialise import begin_with
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
from faceswap_pipelines.training.data import MARGIN, identities, load_faces, place_for
from faceswap_pipelines.training.job import TrainJob, TrainResult
from faceswap_pipelines.training.prepare import budget_of, open_state, settled_folder
from faceswap_pipelines.training.record import Recorder, recording

_SETTLING = 4  # a training that has reached its plateau goes on for a quarter of its steps, ever more slowly
_CLOSING_DETAIL = 0.6  # share of the detail stage in what comes behind a plateau


def train(job: TrainJob) -> Run[TrainResult]:
    """Train `job.model`, going on from its last checkpoint if it has one.

    A run that was stopped goes on with what was left of its budget when it is started with the same one again;
    a model whose run was finished is trained for the budget given, on top. Under torchrun all ranks call this.
    """
    wanted = budget_of(job)
    with ExitStack() as stack:
        ranks, device = stack.enter_context(open_ranks(pick_device(job.device)))
        if ranks.first:
            stack.enter_context(settled_folder(job, device, ranks))
            write_identities(job.model, identities(job.facesets))
        ranks.agreed(0.0, device)  # the others wait until the folder is there
        state, budget = open_state(job, wanted, device, ranks)
        config = state.model.config
        stack.enter_context(clear_about_memory(state.config))
        if not budget.until_plateau:
            state.held_out.clear()  # of an earlier training; this one learns from all faces
        side = round(MARGIN * config.output_size)
        place = place_for(job.facesets, side, device, job.model)
        banks: dict[str, Bank] = {}
        close_ups: dict[str, CloseUps] = {}
        held_out = {}
        for number, person in enumerate(config.persons):
            faces = yield from load_faces(job.facesets[person], side, place, person)
            if budget.until_plateau:
                faces, held_out[person] = split(faces)
            share = ranks.share(state.config.batch_size)
            small = reduced(faces, round(MARGIN * config.size), place)
            banks[person] = Bank(small, config.size, state.config, number, state.step, device, share, place)
            stack.callback(banks[person].close)
            close_ups[person] = CloseUps(faces, config, state.config, number, device, share)
            stack.callback(close_ups[person].close)
        if state.step == 0:
            yield from _begin(state, banks, read_config(job.model).base)
        shown = close_ups if config.detail else banks
        recorder = Recorder(
            job.model, job.save_every, state, partial(preview_rows, state.average, shown), job.tensorboard
        )
        budgets = [budget]
        stack.enter_context(recording(recorder, budgets))
        metrics: Metrics | None = None
        latent: Mapping[str, Tensor] = {}
        for metrics in _trained(state, banks, close_ups, budgets, held_out):
            recorder.note(metrics, budgets[-1])
            latent = metrics.latent or latent  # of the coarse stage: in the next one it does not change
            yield _progress(metrics, budgets[-1], state)
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


def _begin(state: TrainState, banks: Mapping[str, Bank], base: str) -> Run[None]:
    """What comes before the first step."""
    if base:
        for done in begin_with(state, load_base(base), banks):
            yield Progress(
                title="Looking for faces like these among those known", done=round(100 * done), total=100, unit="%"
            )
    elif state.config.stacked_steps:
        for layer in pretrain_stacked(state, banks):
            title = f"Pre-training layer {layer.layer + 1} of {layer.layers}"
            yield Progress(title=title, done=layer.step, total=state.config.stacked_steps, unit="steps")


def _trained(
    state: TrainState,
    banks: Mapping[str, Bank],
    close_ups: Mapping[str, CloseUps],
    budgets: list[Budget],
    held_out: Mapping[str, Faces],
) -> Iterator[Metrics]:
    """Train for each of `budgets`; to one that ends at a plateau another is added, in which training settles, and
    detail is learnt."""
    config = state.model.config
    for budget in budgets:
        closing = budget.until_plateau and not budget.endless
        share = _CLOSING_DETAIL if closing else state.config.detail_share
        steps = train_steps(state, plan(config, banks, close_ups, share), budget)
        while not (enough := budget.endless and has_plateaued(state.held_out, budget.start_step)):
            metrics = next(steps, None)
            if metrics is None:
                break
            if held_out and state.stage == COARSE and state.step % MEASURE_EVERY == 0:
                loss = held_out_loss(state.average, held_out, state.config, state.device)
                state.held_out.append((state.step, state.ranks.agreed(loss, state.device)))
            yield metrics
        if enough:
            settling = max(MEASURE_EVERY, (state.step - budget.start_step) // _SETTLING)
            if config.detail:
                settling = round(settling / (1 - _CLOSING_DETAIL))
            budgets.append(
                Budget(
                    steps=settling, seconds=None, start_step=state.step, start_seconds=state.seconds, until_plateau=True
                )
            )


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
        title = "Sharpening" if metrics.stage == DETAIL else "Settling" if budget.until_plateau else "Training"
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
