"""Checkpoints: written so that a killed process or a power cut never costs more than the last half minute of training.

Each is written under another name, flushed to disk, and renamed when it is whole; the last two are kept, and the newest
one that can be read is used. `faceswap.model.folder` says what is in one.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from faceswap.errors import OutputError
from faceswap.files import flush
from faceswap.model.detail import load_keeping_detail
from faceswap.model.folder import (
    FORMAT_VERSION,
    checkpoints,
    newest_readable,
    read_about,
    read_config,
    read_tensors,
    unreadable,
)
from faceswap.training.ranks import Ranks
from faceswap.training.stages import COARSE, KINDS
from faceswap.training.state import Budget, TrainState, restore_tensors, start_training, tensors_of

_KEPT = 2
_UNFINISHED = ".unfinished"

Tensors = dict[str, torch.Tensor]


def save_checkpoint(folder: Path, state: TrainState, budget: Budget) -> Path:
    """Write the state as MODEL/checkpoint/STEP, drop all but the last two, return the new one's folder.

    Raises OutputError when the disk is full or the folder not writable; the earlier checkpoints stay.
    """
    parent = folder / "checkpoint"
    whole = parent / f"{state.step:08d}"
    fresh = parent / f"{whole.name}{_UNFINISHED}"

    about = {
        "version": FORMAT_VERSION,
        "step": state.step,
        "stage": state.stage,
        "stage_step": state.stage_step,
        "seconds": state.seconds,
        "caution": state.lr_scale,
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
            flush(file)
        shutil.rmtree(whole, ignore_errors=True)

        fresh.replace(whole)
        flush(parent)

        # Later ones are damaged: otherwise training had gone on from there.
        later = [path for path in checkpoints(folder) if int(path.name) > state.step]
        for old in (*later, *checkpoints(folder)[len(later) + _KEPT :]):
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
        average, training = (read_tensors(checkpoint / f"{name}.safetensors") for name in ("weights", "training"))
        return _read_state(checkpoint), average, training

    found = newest_readable(folder, read)
    if found is None:
        return None

    about, average, training = found
    stage = about.get("stage", COARSE)  # one of before there were stages is in the first
    state = start_training(config.model, config.train, device, ranks, compiled=compiled, stage=stage)

    try:
        load_keeping_detail(state.average, average)
        restore_tensors(state, training)
        state.step, state.seconds = int(about["step"]), float(about["seconds"])
        state.stage_step = int(about.get("stage_step", 0))
        state.lr_scale = float(about["caution"])
        state.held_out = [(int(step), float(loss)) for step, loss in about["held_out"]]
        return state, Budget(**about["budget"])
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise unreadable(folder, error) from error


def _read_state(checkpoint: Path) -> dict[str, Any]:
    """What state.json says. Raises ValueError if it is damaged."""
    about = read_about(checkpoint)
    if about.get("stage", COARSE) not in list(KINDS):
        raise ValueError("state.json is damaged")
    return about


def _on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
