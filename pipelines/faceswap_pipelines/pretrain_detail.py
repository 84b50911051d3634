"""Pretrain the detail stage: from large portraits to base weights that draw faces from near as well.

    python -m faceswap_pipelines.pretrain_detail --portraits DIR --base FILE --out WORK --minutes M

All else in the base weights stays as it is: a code is found for each portrait, by which they give it back best, and
the detail stage learns what is missing. Kept in WORK, which can be stopped and resumed at any time:

    WORK/faces/                    the faceset of all portraits
    WORK/detail_PRESET/            the model of them all, with its checkpoints, figures and previews
    WORK/base_PRESET.safetensors   the base weights with a detail stage
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from safetensors.torch import save_file

from faceswap.config import PRESETS, ModelConfig, TrainConfig, from_dict
from faceswap.errors import ConfigError, FaceError
from faceswap.model.base import generic, read_base, start_from
from faceswap.model.detail import enlarged, is_detail
from faceswap.model.swap_model import SwapModel, conditional
from faceswap.training.bank import Batch, Faces, reduced, upright
from faceswap.training.begin import fit_codes
from faceswap.training.checkpoint import create_model_folder, load_checkpoint
from faceswap.training.close_ups import CloseUps
from faceswap.training.guard import clear_about_memory
from faceswap.training.losses import luminance, ssim_map, weighted_mean
from faceswap.training.pretrain import EVERYBODY, hold_out
from faceswap.training.preview import Row, pictures_of
from faceswap.training.stages import DETAIL_ALONE, KINDS, Stage
from faceswap.training.state import Budget, TrainState, start_training
from faceswap.training.step import train
from faceswap_pipelines.job import Job, Progress, pick_device
from faceswap_pipelines.pretrain import faces_of, load_people, progress_of
from faceswap_pipelines.processor import keep_freed_memory
from faceswap_pipelines.terminal import Device, Json, finish, job_errors, show
from faceswap_pipelines.train_data import MARGIN
from faceswap_pipelines.train_record import Recorder, recording

_LEAST_SIDE = 0.9  # of the large picture: portraits that are smaller have no detail to learn from
_FEWEST = 8  # portraits
_CODES_AT_ONCE = 64  # faces
_SHOWN, _MEASURED = 8, 32  # faces of people who are not trained on
_SETTINGS = {"batch_size": 16, "flip": True, "affine": 1.2}


@dataclass(frozen=True)
class PretrainDetailJob:
    """What to learn detail from, for which base weights, and how long."""

    portraits: Path
    """A folder of pictures, or of folders of them; one face in each is looked at, if it is large enough."""
    base: Path
    """Base weights of the preset."""
    out: Path
    preset: str = "nano"
    minutes: float | None = None
    steps: int | None = None
    """One of `minutes` and `steps`, in all, earlier runs counted."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TrainConfig, by name, in place of the recipe's."""
    device: str = "auto"
    save_every: float = 120.0


@dataclass(frozen=True)
class PretrainDetailResult:
    """What came of it."""

    weights: str
    sha256: str
    faces: int
    steps: int
    minutes: float
    enlarged: float
    """SSIM of the faces of people who were not trained on, without the detail stage."""
    likeness: float
    """The same with it."""
    preview: str


def pretrain_detail(job: PretrainDetailJob) -> Job[PretrainDetailResult]:
    """Extract the faces of all portraits, learn from the large ones, and write what ships. Raises FaceswapError."""
    if job.preset not in PRESETS:
        raise ConfigError(f"there is no preset '{job.preset}'", f"Choose one of: {', '.join(PRESETS)}")
    if (job.minutes or job.steps or 0) <= 0 or (job.minutes is not None and job.steps is not None):
        raise ConfigError("pretraining needs one of minutes and steps, above zero", "Add for example --minutes 60")
    preset, device = PRESETS[job.preset], pick_device(job.device)
    config = from_dict(TrainConfig, _SETTINGS | dict(job.settings), "settings")

    # The faces, and those of people whom the training is measured on.
    faceset = yield from faces_of(job.portraits, job.out, job.device)
    people = yield from load_people(faceset, round(MARGIN * preset.output_size), job.device)
    large = people.some(np.asarray(people.sides) >= _LEAST_SIDE * preset.output_size)
    if len(large.faces) < _FEWEST:
        raise FaceError(
            f"{len(large.faces)} of the portraits are large enough, and learning detail needs at least {_FEWEST}",
            f"Add portraits whose faces are {preset.output_size} px high",
        )
    unknown = torch.from_numpy(hold_out(large.persons, config.seed))
    numbers = torch.arange(len(large.faces))

    # What is missing, once it is known who they are.
    network = dataclasses.replace(
        preset, persons=tuple(f"p{number}" for number in numbers.tolist()), latent="vae", decoder="conditional"
    )
    state = yield from _open(job, network, config, large.faces, device)
    bank = CloseUps(large.faces[~unknown], preset, config, 0, device, persons=numbers[~unknown])
    strange = CloseUps(large.faces[unknown], preset, config, 0, device, persons=numbers[unknown])
    budget = Budget(job.steps, None if job.minutes is None else job.minutes * 60)
    recorder = Recorder(
        _model(job), job.save_every, state, partial(_rows, state.average, strange.shown(_SHOWN)), tensorboard=False
    )
    stages = [Stage(kind=KINDS[DETAIL_ALONE], banks={EVERYBODY: bank}, critics=True)]
    with closing(bank), clear_about_memory(config), recording(recorder, [budget]):
        for metrics in train(state, stages, budget):
            recorder.note(metrics, budget)
            yield progress_of(metrics.step, metrics.seconds, budget, f"{metrics.faces_per_second:.0f} faces/s")

    # What ships.
    weights = job.out / f"base_{job.preset}.safetensors"
    learnt = conditional(state.average).decoder.state_dict()
    detail = {f"decoder.{name}": value.cpu() for name, value in learnt.items() if is_detail(name)}
    kept = {name: value for name, value in read_base(job.base).items() if not is_detail(name)}
    save_file({name: value.half().contiguous() for name, value in (kept | detail).items()}, weights)
    enlarged_likeness, likeness = _likenesses(state.average, strange.shown(_MEASURED))
    return PretrainDetailResult(
        str(weights),
        hashlib.sha256(weights.read_bytes()).hexdigest(),
        len(bank),
        state.step,
        state.seconds / 60,
        enlarged_likeness,
        likeness,
        str(recorder.preview),
    )


def _model(job: PretrainDetailJob) -> Path:
    return job.out / f"detail_{job.preset}"


def _open(
    job: PretrainDetailJob, network: ModelConfig, config: TrainConfig, faces: Faces, device: torch.device
) -> Job[TrainState]:
    """The state to go on from; or a fresh one, once a code has been found for each face."""
    if (_model(job) / "config.toml").exists() and (loaded := load_checkpoint(_model(job), device)):
        return loaded[0]
    create_model_folder(_model(job), network, config)
    base = read_base(job.base)
    everybody, small = generic(network, base).to(device), reduced(faces, round(MARGIN * network.size))
    codes = []
    for some in torch.split(torch.arange(len(faces)), _CODES_AT_ONCE):
        codes.append(fit_codes(everybody, upright(small[some].to(device), network.size), config))
        yield Progress("Looking for faces like these", len(codes) * _CODES_AT_ONCE, len(faces), "faces")
    state = start_training(network, config, device, stage=DETAIL_ALONE)
    for model in (state.model, state.average):
        start_from(model, base, torch.cat(codes).unbind())
    return state


@torch.inference_mode()
def _rows(model: SwapModel, shown: Batch) -> list[Row]:
    """People who are not trained on: as they are, rebuilt, and enlarged without the detail stage."""
    assert shown.persons is not None
    made = model.render(model.encode(shown.input), shown.persons)
    return [
        ("people who are not trained on", pictures_of(shown.target)),
        ("rebuilt", pictures_of(made.fine.picture)),
        ("before the detail stage", pictures_of(made.coarse.picture)),
    ]


@torch.inference_mode()
def _likenesses(model: SwapModel, shown: Batch) -> tuple[float, float]:
    """SSIM of the faces' luminance: of the small picture enlarged, and of the large one."""
    assert shown.persons is not None
    made = model.render(model.encode(shown.input), shown.persons)
    pictures = enlarged(made.coarse.picture, model.config.detail), made.fine.picture
    before, after = (
        float(weighted_mean(ssim_map(luminance(picture), luminance(shown.target)), shown.mask)) for picture in pictures
    )
    return before, after


def main(
    portraits: Annotated[Path, typer.Option(help="A folder of portraits, or of folders of them.")],
    base: Annotated[Path, typer.Option(metavar="FILE", help="Base weights of the preset.")],
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")],
    preset: Annotated[str, typer.Option(help="nano or base.")] = "nano",
    minutes: Annotated[float | None, typer.Option(help="How long to train, earlier runs counted.")] = None,
    steps: Annotated[int | None, typer.Option(help="How many steps instead.")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Learn detail from large portraits. Ctrl-C stops and saves; run again, it goes on."""
    keep_freed_memory()
    with job_errors():
        job = PretrainDetailJob(portraits, base, out, preset, minutes, steps, device=device)
        result = show(pretrain_detail(job), json)
    said = f"SSIM of unknown people {result.enlarged:.3f} without it, {result.likeness:.3f} with it"
    finish(result, json, f"{result.weights}: {said}. {result.sha256}")


if __name__ == "__main__":
    typer.run(main)
