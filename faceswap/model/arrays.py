"""What a model keeps beside its weights: named arrays in a file of their own, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from faceswap.errors import ModelError, OutputError
from faceswap.files import replaced

Arrays = dict[str, np.ndarray]
Read = TypeVar("Read")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep them. Raises OutputError if that is not possible."""
    try:
        with replaced(path) as fresh:
            fresh.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    except OSError as error:
        raise OutputError(
            f"the model folder {path.parent} cannot be written ({error})", "Choose another folder with --model"
        ) from error


def read_arrays(path: Path, read: Callable[[Arrays], dict[str, Read]]) -> dict[str, Read]:
    """What `read` makes of them; nothing if the model has no such file.

    Raises ModelError if the file is damaged, or `read` raises ValueError or KeyError.
    """
    if not path.is_file():
        return {}
    try:
        return read(load(path.read_bytes()))
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} cannot be read ({error})", "Train the model for a moment more: it is made anew"
        ) from error
