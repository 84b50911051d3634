"""Pretrain: from portraits of many people to base weights, from which new models start.

    python -m faceswap_cli.pretrain --portraits DIR --out WORK --minutes M
    python -m faceswap_cli.pretrain --portraits DIR --out WORK --minutes M --preset base --grow nano

Everything is kept in WORK and can be stopped and resumed at any time:

    WORK/faces/                    the faceset of all portraits
    WORK/PRESET/                   the model of them all, with its checkpoints, figures and previews
    WORK/base_PRESET.safetensors   what ships
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from faceswap.config import PRESETS, ModelConfig, TrainConfig, from_dict
from faceswap.errors import ConfigError, FaceError, ModelError
from faceswap.faces.curate import groups
from faceswap.faces.faceset import Faceset
from faceswap.geometry import Similarity
from faceswap.media.kinds import is_picture
from faceswap.model.base_weights import Weights, export_base, grow_weights, read_base, start_from
from faceswap.model.folder import create_model_folder, load_model, read_config
from faceswap.model.swap_model import conditional
from faceswap.training.bank import FacePlanes
from faceswap.training.base_weights.acting import Portraits, portraits
from faceswap.training.base_weights.initialise import fit_codes
from faceswap.training.base_weights.portraits import PortraitBank
from faceswap.training.base_weights.pretraining import (
    EVERYBODY,
    hold_out,
    mean_log_variance,
    measure_unknown,
    network_of,
)
from faceswap.training.checkpoint import load_checkpoint
from faceswap.training.guard import clear_about_memory
from faceswap.training.preview import Row, shown_as
from faceswap.training.stages import coarse_only
from faceswap.training.state import Budget, TrainState, start_training
from faceswap.training.step import train
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.curation.curate import embeddings_of
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.pretraining.job import PretrainJob, PretrainResult
from faceswap_pipelines.training.data import MARGIN, load_faces
from faceswap_pipelines.training.prepare import can_compile
from faceswap_pipelines.training.record import Recorder, recording

_SAME = 0.45  # portraits whose embeddings are nearer on average are one person's: nearer than `SAME_PERSON`, because
# among a thousand people there are many look-alikes
_FEWEST = 8  # people
_MEASURED, _SHOWN = 256, 12  # pictures of people who are held out
_BATCH_PIXELS = {"cpu": 2048, "cuda": 32768}  # faces of a batch times the picture's side
_SETTINGS = {"warp": 0.7, "warmup_steps": 300, "kl_warmup_steps": 1000, "easing": 0.5}
_KL_SIDE = 64  # of pictures with which the KL divergence has weight 1: it shall not weigh less in larger ones


@dataclass(frozen=True)
class People:
    """Faces of many people in memory."""

    faces: FacePlanes
    meshes: Portraits
    persons: list[int]
    """Whose face each is, from 0."""

    def some(self, chosen: np.ndarray) -> People:
        """Those for which `chosen` is true, their persons numbered anew."""
        which = torch.from_numpy(np.flatnonzero(chosen))
        _, persons = np.unique(np.asarray(self.persons)[chosen], return_inverse=True)
        return People(self.faces[which], self.meshes[which], persons.tolist())


def pretrain(job: PretrainJob) -> Run[PretrainResult]:
    """Extract the faces of all portraits, learn from them, and write what ships. Raises FaceswapError."""
    if job.preset not in PRESETS:
        raise ConfigError(f"there is no preset '{job.preset}'", f"Choose one of: {', '.join(PRESETS)}")
    if (job.minutes or job.steps or 0) <= 0 or (job.minutes is not None and job.steps is not None):
        raise ConfigError("pretraining needs one of minutes and steps, above zero", "Add for example --minutes 60")

    preset = PRESETS[job.preset]
    people = yield from gathered_people(job.portraits, job.out / "faces", round(MARGIN * preset.size), job.device)
    return (yield from learn(job, preset, people))


def gathered_people(portraits: Path, faceset: Path, side: int, device: str) -> Run[People]:
    """The faces of a folder of portraits, or of folders of them, extracted into `faceset`; one face of each picture.

    Raises FaceError if there are none.
    """
    folders = [folder for folder in (portraits, *sorted(portraits.glob("*"))) if _holds_pictures(folder)]
    if not folders:
        raise FaceError(f"there are no pictures in {portraits}", "Name a folder of portraits")
    yield from extract(ExtractJob(inputs=tuple(folders), out=faceset, everybody=True, device=device))
    return (yield from _load_people(faceset, side, device))


def _holds_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(is_picture(path) for path in folder.iterdir())


def _load_people(folder: Path, side: int, device: str) -> Run[People]:
    """All kept faces of a faceset of many people, and who is who."""
    with Faceset.open(folder) as faceset:
        records = faceset.records(kept_only=True)
        embeddings = yield from embeddings_of(faceset, records, device)

    faces = yield from load_faces(folder, side)
    side = faces.shape[-1]
    places = [record.to_crop.then(Similarity.resize(side / record.side)) for record in records]
    points = [record.face.points_after(place) for record, place in zip(records, places, strict=True)]
    meshes = portraits(np.stack(points), side)

    return People(faces, meshes, [label - 1 for label in groups(embeddings, nearer=_SAME).tolist()])


def learn(job: PretrainJob, preset: ModelConfig, people: People) -> Run[PretrainResult]:
    """The training, measured on people who are held out; the last part of `pretrain`."""
    device, folder = pick_device(job.device), job.out / job.preset

    suits = {"batch_size": _BATCH_PIXELS[device.type] // preset.size, "beta": (preset.size / _KL_SIDE) ** 2}
    config = from_dict(TrainConfig, suits | _SETTINGS | dict(job.settings), "settings")

    if max(people.persons) + 1 < _FEWEST:
        raise FaceError(
            f"the portraits show {max(people.persons) + 1} people, and learning faces needs at least {_FEWEST}",
            "Add portraits of other people (a thousand are good)",
        )

    unknown = hold_out(people.persons, config.seed)
    known, strangers = people.some(~unknown), people.some(unknown)

    bank, strange_bank = (
        PortraitBank(people.faces, people.meshes, people.persons, size=preset.size, config=config, device=device)
        for people in (known, strangers)
    )
    few, strange = (strange_bank.show(count, 1) for count in (_SHOWN, _MEASURED))

    state = _open(job, network_of(preset, max(known.persons) + 1), config, device)
    budget = Budget(steps=job.steps, seconds=None if job.minutes is None else job.minutes * 60)

    def preview() -> list[Row]:
        return shown_as(state.average, few, fit_codes(state.average, few, config))

    recorder = Recorder(folder, job.save_every, state, budget, rows=preview, tensorboard=False)
    with clear_about_memory(config), recording(recorder):
        for metrics in train(state, coarse_only(state.model.config, {EVERYBODY: bank}), budget):
            recorder.note(metrics, budget)
            yield _progress(metrics.step, metrics.seconds, budget, f"{metrics.faces_per_second:.0f} faces/s")

    found = measure_unknown(state.average, strange, config)
    weights = _weights(job.out, job.preset)
    save_file(export_base(state.average, mean_log_variance(state.average, bank.show(_MEASURED, 0).input)), weights)

    return PretrainResult(
        weights=str(weights),
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        megabytes=weights.stat().st_size / 1e6,
        people=max(known.persons) + 1,
        steps=state.step,
        minutes=state.seconds / 60,
        held_out_loss=found.loss,
        held_out_likeness=found.likeness,
        preview=str(recorder.preview),
    )


def _open(job: PretrainJob, network: ModelConfig, config: TrainConfig, device: torch.device) -> TrainState:
    """The state to go on from, or a fresh one. Raises ModelError if what is there was made otherwise."""
    folder, compiled = job.out / job.preset, device.type == "cuda" and can_compile()

    if not (folder / "config.toml").exists():
        create_model_folder(folder, network, config)

    before = read_config(folder)
    if (before.model, before.train) != (network, config):
        raise ModelError(
            f"the pretraining in {folder} was begun with other portraits or settings",
            "Give the same ones again, or another --out",
        )

    loaded = load_checkpoint(folder, device, compiled=compiled)
    if loaded:
        return loaded[0]

    state = start_training(network, config, device, compiled=compiled)

    if job.begin is not None:
        base = read_base(job.begin)
        codes = conditional(state.model).codes.detach() + base["code"].to(device)
        _start(state, base, codes)

    elif job.grow is not None:
        smaller = read_config(job.out / job.grow)
        if (smaller.model.persons, smaller.train.seed) != (network.persons, config.seed):
            raise ModelError(f"{job.out / job.grow} has learnt other people", "Use the same portraits and seed")
        codes = conditional(load_model(job.out / job.grow, device)).codes
        _start(state, grow_weights(read_base(_weights(job.out, job.grow)), state.model), codes)

    return state


def _start(state: TrainState, base: Weights, codes: torch.Tensor) -> None:
    for model in (state.model, state.average):
        start_from(model, base, codes.unbind())


def _weights(out: Path, preset: str) -> Path:
    return out / f"base_{preset}.safetensors"


def _progress(step: int, seconds: float, budget: Budget, note: str) -> Progress:
    if budget.steps is not None:
        return Progress(title="Learning faces", done=step, total=budget.steps, unit="steps", note=note)
    return Progress(title="Learning faces", done=seconds, total=budget.seconds, unit="seconds", note=note)
