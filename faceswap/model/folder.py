"""Model folders: what is in them, and how it is read.

    MODEL/config.toml                        what the model is and how it is trained
    MODEL/checkpoint/00001234/weights.safetensors    the averaged weights: all that swapping needs
                             /training.safetensors   the current weights and the optimizer's moments
                             /state.json             step, stage, seconds, budget, format version

`faceswap.training.checkpoint` writes the checkpoints. safetensors and JSON hold numbers, never code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from faceswap.config import ModelConfig, TrainConfig, from_dict, read_toml, to_toml
from faceswap.documents import parse_json
from faceswap.errors import ModelError, OutputError
from faceswap.files import flush, replaced
from faceswap.model.detail import load_keeping_detail
from faceswap.model.swap_model import SwapModel, build_model

FORMAT_VERSION = 3
_READABLE = (2, 3)  # 2 is from before there were detail stages

# What the layers of the prior over codes were called when the first models were made.
_NAMES = {"ask": "qkv", "gather": "proj", "think": "mlp"}
_RENAMED = re.compile(r"(\.prior\.layers\.\d+\.)(ask|gather|think)\.")

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """The content of MODEL/config.toml."""

    model: ModelConfig
    train: TrainConfig
    base: str = ""
    """The base weights that the model began with; none: it began with random ones."""
    version: int = FORMAT_VERSION

    @property
    def from_before_detail(self) -> bool:
        """Whether it was made when there were no detail stages, so that nobody can have decided against one."""
        return self.version < FORMAT_VERSION


def make_model_folder(folder: Path) -> None:
    """Make MODEL, if it is not there. Raises OutputError if that is not possible."""
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)


def create_model_folder(folder: Path, model: ModelConfig, train: TrainConfig, base: str = "") -> None:
    """Make MODEL with its config.toml. Raises OutputError if that is not possible."""
    make_model_folder(folder)
    with _writable(folder), replaced(folder / "config.toml") as fresh:
        fresh.write_text(to_toml(ModelFile(model=model, train=train, base=base)), encoding="utf-8")
        flush(fresh)


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
            f"the model {folder} was made by another version of this program (format {version}, not {FORMAT_VERSION})",
            "Train it again into a new folder",
        )
    return from_dict(ModelFile, values, str(path))


def load_model(folder: Path, device: torch.device) -> SwapModel:
    """The averaged model in `folder`, ready to swap with. Raises ModelError if it has no readable checkpoint."""
    config = read_config(folder)

    def read(checkpoint: Path) -> SwapModel:
        read_about(checkpoint)
        model = build_model(config.model)
        load_keeping_detail(model, read_tensors(checkpoint / "weights.safetensors"))
        return model.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)

    model = newest_readable(folder, read)
    if model is None:
        raise ModelError(
            f"the model {folder} has no checkpoint yet: its training was stopped before the first one was saved",
            "Run its 'faceswap train' command again",
        )
    return model


def newest_readable(folder: Path, read: Callable[[Path], Loaded]) -> Loaded | None:
    """What `read` makes of the newest checkpoint that it can read; None if there are none at all."""
    failure: Exception | None = None
    for checkpoint in checkpoints(folder):
        try:
            return read(checkpoint)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            failure = failure or error
    if failure is None:
        return None
    raise unreadable(folder, failure) from failure


def unreadable(folder: Path, why: Exception) -> ModelError:
    return ModelError(
        f"no checkpoint of the model {folder} can be read ({str(why).splitlines()[0]})",
        "If its config.toml was edited, put it back as it was; otherwise train into a new folder",
    )


def latest_checkpoint(folder: Path) -> Path | None:
    """The folder of the newest checkpoint of the model in `folder`."""
    return next(iter(checkpoints(folder)), None)


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, the newest first. Raises ModelError if the folder cannot be read."""
    place = folder / "checkpoint"
    try:
        found = [path for path in place.iterdir() if path.is_dir() and path.name.isdigit()] if place.is_dir() else []
    except OSError as error:
        raise ModelError(f"{place} cannot be read ({error.strerror})", "Give yourself permission to read it") from error
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by the names that they have today. Raises OSError or SafetensorError."""
    return {_RENAMED.sub(_today, name): value for name, value in load_file(file).items()}


def _today(before: re.Match[str]) -> str:
    return f"{before[1]}{_NAMES[before[2]]}."


def read_about(checkpoint: Path) -> dict[str, Any]:
    """What the state.json of a checkpoint says. Raises ValueError if it is damaged or of another version."""
    about = parse_json((checkpoint / "state.json").read_bytes())
    if not isinstance(about, dict):
        raise ValueError("state.json is damaged")
    if about["version"] not in _READABLE:
        raise ValueError(f"format {about['version']}, not {FORMAT_VERSION}")
    return about
