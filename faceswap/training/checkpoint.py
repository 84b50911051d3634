"""Model folders: written so that a killed process or a power cut never costs more than the last half minute.

    MODEL/config.toml                        what the model is and how it is trained
    MODEL/checkpoint/00001234/weights.safetensors    the averaged weights: all that swapping needs
                             /training.safetensors   the current weights and the optimizer's moments
                             /state.json             step, seconds, budget, format version

A checkpoint is written under another name, flushed to disk, and renamed when it is whole; the last two are
kept, and the newest one that can be read is used. safetensors and JSON hold numbers, never code.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from faceswap.config import ModelConfig, TrainConfig, from_dict, read_toml, to_toml
from faceswap.documents import parse_json
from faceswap.errors import ModelError, OutputError
from faceswap.model.detail import load_keeping_detail
from faceswap.model.swap_model import SwapModel, build_model
from faceswap.training.ranks import Ranks
from faceswap.training.stages import COARSE, KINDS
from faceswap.training.state import Budget, TrainState, restore_tensors, start_training, tensors_of

_VERSION = 3
_READABLE = (2, 3)  # 2 is from before there were detail stages
_KEPT = 2
_UNFINISHED = ".unfinished"

Loaded = TypeVar("Loaded")
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ModelFile:
    """The content of MODEL/config.toml."""

    model: ModelConfig
    train: TrainConfig
    base: str = ""
    """The base weights that the model began with; none: it began with random ones."""
    version: int = _VERSION

    @property
    def from_before_detail(self) -> bool:
        """Whether it was made when there were no detail stages, so that nobody can have decided against one."""
        return self.version < _VERSION


def make_model_folder(folder: Path) -> None:
    """Make MODEL, if it is not there. Raises OutputError if that is not possible."""
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)


def create_model_folder(folder: Path, model: ModelConfig, train: TrainConfig, base: str = "") -> None:
    """Make MODEL with its config.toml. Raises OutputError if that is not possible."""
    make_model_folder(folder)
    with _writable(folder):
        fresh = folder / f"config.toml{_UNFINISHED}"
        fresh.write_text(to_toml(ModelFile(model, train, base)), encoding="utf-8")
        _flush(fresh)
        fresh.replace(folder / "config.toml")


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the model folder {folder} cannot be written ({error})", "Choose another folder with --model"
        ) from error


def read_config(folder: Path) -> ModelFile:
    """The settings of the model in `folder`. Raises ModelError if there is none or it is of another version."""
    path = folder / "config.toml"
    if not path.is_file():
        raise ModelError(
            f"{folder} is not a model: it has no config.toml",
            "Name a folder that 'faceswap train --model' has made",
        )
    values = read_toml(path)
    version = values.get("version")
    if version not in _READABLE:
        raise ModelError(
            f"the model {folder} was made by another version of this program (format {version}, not {_VERSION})",
            "Train it again into a new folder",
        )
    return from_dict(ModelFile, values, str(path))


def save_checkpoint(folder: Path, state: TrainState, budget: Budget) -> Path:
    """Write the state as MODEL/checkpoint/STEP, drop all but the last two, return the new one's folder.

    Raises OutputError when the disk is full or the folder not writable; the earlier checkpoints stay.
    """
    parent = folder / "checkpoint"
    whole = parent / f"{state.step:08d}"
    fresh = parent / f"{whole.name}{_UNFINISHED}"
    about = {
        "version": _VERSION,
        "step": state.step,
        "stage": state.stage,
        "stage_step": state.stage_step,
        "seconds": state.seconds,
        "caution": state.caution,
        "held_out": state.held_out,
        "budget": dataclasses.asdict(budget),
    }
    try:
        for left in parent.glob(f"*{_UNFINISHED}"):  # by a killed process
            shutil.rmtree(left, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(_on_cpu(state.average.state_dict()), fresh / "weights.safetensors")
        save_file(_on_cpu(tensors_of(state)), fresh / "training.safetensors")
        (fresh / "state.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
        for file in fresh.iterdir():
            _flush(file)
        shutil.rmtree(whole, ignore_errors=True)
        fresh.replace(whole)
        _flush(parent)
        # Later ones are damaged: otherwise training had gone on from there.
        later = [path for path in _checkpoints(folder) if int(path.name) > state.step]
        for old in (*later, *_checkpoints(folder)[len(later) + _KEPT :]):
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise OutputError(
            f"the checkpoint {whole} cannot be written ({error})",
            "Make room on the disk and run the same command again; the checkpoint before it is whole",
        ) from error
    return whole


def load_checkpoint(
    folder: Path,
    device: torch.device,
    ranks: Ranks | None = None,
    compiled: bool = False,
) -> tuple[TrainState, Budget] | None:
    """The newest readable state of the model in `folder`, on `device`; None if none was saved yet.

    Raises ModelError if there are checkpoints and none can be read.
    """
    config = read_config(folder)

    def read(checkpoint: Path) -> tuple[dict[str, Any], Tensors, Tensors]:
        average, training = (load_file(checkpoint / f"{name}.safetensors") for name in ("weights", "training"))
        return _read_about(checkpoint), average, training

    found = _newest_readable(folder, read)
    if found is None:
        return None
    about, average, training = found
    stage = about.get("stage", COARSE)  # one of before there were stages is in the first
    state = start_training(config.model, config.train, device, ranks, compiled, stage)
    try:
        load_keeping_detail(state.average, average)
        restore_tensors(state, training)
        state.step, state.seconds = int(about["step"]), float(about["seconds"])
        state.stage_step = int(about.get("stage_step", 0))
        state.caution = float(about["caution"])
        state.held_out = [(int(step), float(loss)) for step, loss in about["held_out"]]
        return state, Budget(**about["budget"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _unreadable(folder, error) from error


def load_model(folder: Path, device: torch.device) -> SwapModel:
    """The averaged model in `folder`, ready to swap with. Raises ModelError if it has no readable checkpoint."""
    config = read_config(folder)

    def read(checkpoint: Path) -> SwapModel:
        _read_about(checkpoint)
        model = build_model(config.model)
        load_keeping_detail(model, load_file(checkpoint / "weights.safetensors"))
        return model.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)

    model = _newest_readable(folder, read)
    if model is None:
        raise ModelError(
            f"the model {folder} has no checkpoint yet: its training was stopped before the first one was saved",
            "Run its 'faceswap train' command again",
        )
    return model


def _newest_readable(folder: Path, read: Callable[[Path], Loaded]) -> Loaded | None:
    """What `read` makes of the newest checkpoint that it can read; None if there are none at all."""
    failure: Exception | None = None
    for checkpoint in _checkpoints(folder):
        try:
            return read(checkpoint)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            failure = failure or error
    if failure is None:
        return None
    raise _unreadable(folder, failure) from failure


def _unreadable(folder: Path, why: Exception) -> ModelError:
    return ModelError(
        f"no checkpoint of the model {folder} can be read ({str(why).splitlines()[0]})",
        "If its config.toml was edited, put it back as it was; otherwise train into a new folder",
    )


def latest_checkpoint(folder: Path) -> Path | None:
    """The folder of the newest checkpoint of the model in `folder`."""
    return next(iter(_checkpoints(folder)), None)


def _checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, the newest first."""
    found = [path for path in (folder / "checkpoint").glob("*") if path.is_dir() and path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def _read_about(checkpoint: Path) -> dict[str, Any]:
    about = parse_json((checkpoint / "state.json").read_bytes())
    if not isinstance(about, dict) or about.get("stage", COARSE) not in list(KINDS):
        raise ValueError("state.json is damaged")
    if about["version"] not in _READABLE:
        raise ValueError(f"format {about['version']}, not {_VERSION}")
    return about


def _on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _flush(path: Path) -> None:
    """Have the system write the file (or the folder's list of names) to the disk now."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot flush a folder
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
