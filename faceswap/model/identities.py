"""MODEL/persons.safetensors: what the persons of a model look like, so that they can be recognised in a video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from faceswap.errors import ModelError, OutputError
from faceswap.files import replaced
from faceswap.types import EMBEDDING, Embedding

_NAME = "persons.safetensors"


def identity_file(model: Path) -> Path:
    """Where they lie."""
    return model / _NAME


def write_identities(model: Path, persons: Mapping[str, Embedding]) -> None:
    """Keep what each person looks like in the folder `model`. Raises OutputError if that is not possible."""
    try:
        with replaced(identity_file(model)) as fresh:
            fresh.write_bytes(save({name: np.ascontiguousarray(identity) for name, identity in persons.items()}))
    except OSError as error:
        raise OutputError(
            f"the model folder {model} cannot be written ({error})", "Choose another folder with --model"
        ) from error


def read_identities(model: Path) -> dict[str, Embedding]:
    """By person; empty if nothing is known of them. Raises ModelError if the file is damaged."""
    path = identity_file(model)
    if not path.is_file():
        return {}
    try:
        return {name: _checked(identity) for name, identity in load(path.read_bytes()).items()}
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read ({error})", "Train the model for a moment more: it is made anew"
        ) from error


def _checked(identity: np.ndarray) -> Embedding:
    """The embedding. Raises ValueError for what is none."""
    if identity.shape != (EMBEDDING,) or not np.isfinite(identity).all():
        raise ValueError("it holds numbers that describe nobody")
    return identity.astype(np.float64)
