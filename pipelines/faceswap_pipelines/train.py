"""Train: from two or more facesets to a model."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from faceswap.config import PRESETS, ModelConfig, TrainConfig
from faceswap.errors import ConfigError, FaceError, ModelError, OutputError
from faceswap.faces.faceset import FaceRecord, Faceset
from faceswap.faces.masks import face_mask, feature_mask
from faceswap.geometry import Similarity
from faceswap.media.pictures import read_picture, write_picture
from faceswap.quality.sheets import sheet
from faceswap.training.bank import Bank, Sample
from faceswap.training.checkpoint import create_model_folder, load_checkpoint, read_config, save_checkpoint
from faceswap.training.preview import preview_rows
from faceswap.training.step import Budget, Metrics, TrainState, start_training, train
from faceswap_pipelines.job import Job, Progress, pick_device

_FEWEST_FACES = 10
_PREVIEW_GROWTH = 1.25  # each preview waits this much longer than the one before, so that a night leaves few files
_NOTE_EVERY = 1.0  # seconds between two lines of stats.jsonl
_MARGIN = 1.5  # faces lie in the bank this much larger than the model's picture, so that turning them does not blur


@dataclass(frozen=True)
class TrainJob:
    """What to train, and for how long."""

    facesets: Mapping[str, Path]
    """By the person's name."""
    model: Path
    preset: str = "nano"
    size: int | None = None
    """Side of the model's picture in pixels; None takes the preset's."""
    minutes: float | None = None
    steps: int | None = None
    """Exactly one of `minutes` and `steps`."""
    resume: bool = True
    settings: TrainConfig = field(default_factory=TrainConfig)
    """For a new model; an existing one keeps its own."""
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
    waited: float
    """Seconds that steps waited for data."""
    preview: str


def train_model(job: TrainJob) -> Job[TrainResult]:
    """Train `job.model`, going on from its last checkpoint if it has one.

    A run that was stopped goes on with what was left of its budget when it is started with the same one again;
    a model whose run was finished is trained for the budget given, on top.
    """
    if (job.minutes is None) == (job.steps is None) or (job.minutes or job.steps or 0) <= 0:
        raise ConfigError("training needs either minutes or steps, above zero", "Add for example --minutes 10")
    device = pick_device(job.device)
    state, budget = _open_model(job, device)
    side = round(_MARGIN * state.model.config.size)
    with ExitStack() as stack:
        banks = {}
        for number, person in enumerate(state.model.config.persons):
            yield Progress(f"Loading faces of {person}", 0, None, "faces")
            samples = load_samples(job.facesets[person], side)
            bank = Bank(samples, state.model.config.size, state.config, number, state.step, device)
            stack.callback(bank.close)
            banks[person] = bank
        recorder = stack.enter_context(_recording(job, state, budget, banks))
        metrics = None
        for metrics in train(state, banks, budget):
            recorder.note(metrics)
            yield _progress(metrics, budget)
    return TrainResult(
        str(job.model),
        state.step,
        state.seconds / 60,
        metrics.faces_per_second if metrics else 0.0,
        _losses(metrics) if metrics else {},
        metrics.waited if metrics else 0.0,
        str(recorder.preview),
    )


def load_samples(folder: Path, side: int) -> list[Sample]:
    """The kept faces of a faceset with their masks, at `side` px, or at the crops' own size if that is less.

    Raises FaceError if there are too few.
    """
    with Faceset.open(folder) as faceset:
        records = faceset.records(kept_only=True)
        if len(records) < _FEWEST_FACES:
            raise FaceError(
                f"the faceset {folder} has {len(records)} usable faces, and training needs at least {_FEWEST_FACES}"
                " (a few hundred are good)",
                "Extract more footage of this person into it",
            )
        side = min(side, faceset.crop_size)

        def load(record: FaceRecord) -> Sample:
            crop = read_picture(faceset.path(record))
            points = record.face.points_after(record.to_crop.then(Similarity.resize(side / crop.shape[0])))
            picture = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
            return Sample(picture.astype(np.uint8, copy=False), face_mask(points, side), feature_mask(points, side))

        with ThreadPoolExecutor() as pool:
            return list(pool.map(load, records))


def _open_model(job: TrainJob, device: torch.device) -> tuple[TrainState, Budget]:
    """The state to go on from, a fresh one for a new model, and the budget of this run."""
    wanted = Budget(job.steps, None if job.minutes is None else job.minutes * 60)
    persons = tuple(job.facesets)
    if not (job.model / "config.toml").exists():
        config = _new_config(job, persons)
        create_model_folder(job.model, config, job.settings)
        return start_training(config, job.settings, device), wanted
    if not job.resume:
        raise OutputError(f"there is a model in {job.model} already", "Name another folder, or leave out --no-resume")
    known = read_config(job.model)
    if set(known.model.persons) != set(persons):
        raise ModelError(
            f"the model {job.model} is of the persons {', '.join(known.model.persons)}, not {', '.join(persons)}",
            "Name a faceset for each of its persons, or a new model folder",
        )
    loaded = load_checkpoint(job.model, device)
    if loaded is None:
        return start_training(known.model, known.train, device), wanted
    state, before = loaded
    unfinished = before.progress(state.step, state.seconds) < 1
    if unfinished and (before.steps, before.seconds) == (wanted.steps, wanted.seconds):
        return state, before
    return state, dataclasses.replace(wanted, start_step=state.step, start_seconds=state.seconds)


def _new_config(job: TrainJob, persons: tuple[str, ...]) -> ModelConfig:
    if job.preset not in PRESETS:
        raise ConfigError(f"there is no preset '{job.preset}'", f"Choose one of: {', '.join(PRESETS)}")
    preset = PRESETS[job.preset]
    return dataclasses.replace(preset, persons=persons, size=job.size or preset.size)


class _Recorder:
    """Writes what training leaves behind: stats.jsonl, checkpoints, previews."""

    def __init__(self, job: TrainJob, state: TrainState, budget: Budget, banks: Mapping[str, Bank]) -> None:
        self._folder, self._save_every = job.model, job.save_every
        self._state, self._budget, self._banks = state, budget, banks
        self._stats = job.model / "stats.jsonl"
        self._noted, self._saved = -math.inf, time.monotonic()
        self._next_preview = 0.0
        self._saved_step: int | None = None
        self.preview = job.model / "previews" / "latest.png"
        self.preview.parent.mkdir(exist_ok=True)
        _forget_after(self._stats, state.step)

    def note(self, metrics: Metrics) -> None:
        """Called after every step; does each thing when its time has come."""
        now = time.monotonic()
        if now - self._noted >= _NOTE_EVERY:
            self._noted = now
            with self._stats.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_as_line(metrics)) + "\n")
        if now - self._saved >= self._save_every:
            self.save()
            self._saved = time.monotonic()

    def save(self) -> None:
        """Checkpoint, and a preview when it is due. Nothing if no step was made since the last time."""
        if self._state.step in (0, self._saved_step):
            return
        save_checkpoint(self._folder, self._state, self._budget)
        self._saved_step = self._state.step
        picture = sheet(preview_rows(self._state.average, self._banks), side=128)
        write_picture(self.preview, picture)
        if self._state.seconds >= self._next_preview:
            write_picture(self.preview.with_name(f"{self._state.step:08d}.png"), picture)
            self._next_preview = self._state.seconds * _PREVIEW_GROWTH


@contextmanager
def _recording(job: TrainJob, state: TrainState, budget: Budget, banks: Mapping[str, Bank]) -> Iterator[_Recorder]:
    """A recorder that saves once more however training ends, unless the state itself may be broken."""
    recorder = _Recorder(job, state, budget, banks)
    try:
        yield recorder
    except GeneratorExit:  # stopped between two steps: the state is whole
        recorder.save()
        raise
    else:
        recorder.save()


def _forget_after(stats: Path, step: int) -> None:
    """Drop the lines of steps that are about to be made again, and one that a kill has cut short."""
    if not stats.exists():
        return
    kept = []
    for line in stats.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    fresh = stats.with_suffix(".part")
    fresh.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    fresh.replace(stats)


def _as_line(metrics: Metrics) -> dict[str, object]:
    losses = {
        person: {part: round(float(getattr(loss, part)), 5) for part in ("pixel", "structure", "mask", "total")}
        for person, loss in metrics.losses.items()
    }
    return {
        "step": metrics.step,
        "seconds": round(metrics.seconds, 2),
        "losses": losses,
        "learning_rate": metrics.learning_rate,
        "faces_per_second": round(metrics.faces_per_second, 1),
        "waited": round(metrics.waited, 3),
    }


def _losses(metrics: Metrics) -> dict[str, float]:
    return {person: float(loss.total) for person, loss in metrics.losses.items()}


def _progress(metrics: Metrics, budget: Budget) -> Progress:
    note = f"{metrics.faces_per_second:.0f} faces/s"
    if metrics.step % 10 == 0:  # reading a loss waits for the device
        note += "".join(f"  {person} {loss:.3f}" for person, loss in _losses(metrics).items())
    if budget.steps is not None:
        return Progress("Training", metrics.step - budget.start_step, budget.steps, "steps", note)
    return Progress("Training", metrics.seconds - budget.start_seconds, budget.seconds, "seconds", note)
