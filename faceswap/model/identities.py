"""MODEL/persons.safetensors: what the persons of a model look like, so that they can be recognised in a video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from faceswap.model.arrays import read_arrays, write_arrays
from faceswap.types import EMBEDDING, Embedding

_NAME = "persons.safetensors"


def identity_file(model: Path) -> Path:
    """Where they lie."""
    return model / _NAME


def write_identities(model: Path, persons: Mapping[str, Embedding]) -> None:
    """Keep what each person looks like in the folder `model`. Raises OutputError if that is not possible."""
    write_arrays(identity_file(model), persons)


def read_identities(model: Path) -> dict[str, Embedding]:
    """By person; empty if nothing is known of them. Raises ModelError if the file is damaged."""
    return read_arrays(
        identity_file(model), lambda arrays: {name: _checked(identity) for name, identity in arrays.items()}
    )


def _checked(identity: np.ndarray) -> Embedding:
    """The embedding. Raises ValueError for what is none."""
    if identity.shape != (EMBEDDING,) or not np.isfinite(identity).all():
        raise ValueError("it holds numbers that describe nobody")
    return identity.astype(np.float64)
