"""Makes `face_mesh.safetensors` from MediaPipe's `face_landmark.tflite` and a folder of portraits.

    pip download --no-deps mediapipe==0.10.21       # Apache-2.0
    unzip mediapipe-0.10.21-*.whl mediapipe/modules/face_landmark/face_landmark.tflite
    pip install tflite                              # reads the file's flatbuffers
    python weights/convert_face_mesh.py mediapipe/modules/face_landmark/face_landmark.tflite PORTRAITS

PORTRAITS: pictures of many people, one face each, about frontal; only the average of their meshes is kept. Prints the
SHA-256 for `manifest.toml`.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tflite  # type: ignore[import-not-found]
import torch
from jaxtyping import Float, Int
from safetensors.numpy import save_file
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from faceswap.faces.detect import MTCNNDetector
from faceswap.faces.landmarks import INPUT_SIZE, STABLE, MeshNetwork, input_square
from faceswap.media.kinds import is_picture
from faceswap.media.pictures import cut, read_picture

Weights = dict[str, np.ndarray]
Meshes = Float[np.ndarray, "faces 468 3"]
Shape = Float[np.ndarray, "468 3"]
Partners = Int[np.ndarray, " points"]


def read_tflite(path: Path) -> Weights:
    """The constants of the graph by their Keras names, such as `conv2d_1/Kernel`; float16 or float32 as stored."""
    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    kinds = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.FLOAT32: np.float32}
    constants = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        if tensor.Type() in kinds and not np.isscalar(data):
            constants[tensor.Name().decode()] = data.view(kinds[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
    return constants


def layers() -> Iterator[tuple[str, str]]:
    """Our name of each layer and its name in the graph."""

    def block(name: str, depthwise: int, pointwise: int, act: int) -> Iterator[tuple[str, str]]:
        yield f"{name}.depthwise", f"depthwise_conv2d_{depthwise}"
        yield f"{name}.pointwise", f"conv2d_{pointwise}"
        yield f"{name}.act", f"p_re_lu_{act}"

    yield from (("stem.0", "conv2d_1"), ("stem.1", "p_re_lu_1"))
    for i in range(14):
        yield from block(f"trunk.{i}", i + 1, i + 2, i + 2)
    for i in range(3):
        yield from block(f"points.{i}", i + 15, i + 16, i + 16)
    yield from (("points.3", "conv2d_19"), ("points.4", "p_re_lu_19"))
    yield from block("points.5", 18, 20, 20)
    yield "points.6", "conv2d_21"
    yield from block("presence.0", 23, 28, 26)
    yield from (("presence.1", "conv2d_29"), ("presence.2", "p_re_lu_27"))
    yield from block("presence.3", 24, 30, 28)
    yield "presence.4", "conv2d_31"


def convert(constants: Weights) -> Weights:
    """The state of `MeshNetwork`, float16. Kernels go from (out, h, w, in) to (out, in, h, w)."""
    state = {}
    for ours, theirs in layers():
        if theirs.startswith("p_re_lu"):
            state[f"{ours}.weight"] = constants[f"{theirs}/Alpha"].reshape(-1).copy()
            continue
        # A depthwise kernel is (1, h, w, channels) there and (channels, 1, h, w) here.
        axes = (3, 0, 1, 2) if theirs.startswith("depthwise") else (0, 3, 1, 2)
        state[f"{ours}.weight"] = constants[f"{theirs}/Kernel"].transpose(axes).copy()
        state[f"{ours}.bias"] = constants[f"{theirs}/Bias"].copy()
    return state


def portrait_meshes(state: Weights, folder: Path) -> Meshes:
    """The mesh of the largest face in each picture, in the network's input pixels."""
    network = MeshNetwork().eval().requires_grad_(False)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    detector, meshes = MTCNNDetector(), []
    for path in sorted(filter(is_picture, folder.rglob("*"))):
        image = read_picture(path)
        for face in detector.detect([image])[0][:1]:
            crop = torch.from_numpy(cut(image, input_square(face), INPUT_SIZE))
            points, presence = network(crop.permute(2, 0, 1)[None] / 255)
            if presence > 0:
                meshes.append(points[0].double().numpy())
    return np.stack(meshes)


def mean_face(meshes: Meshes) -> Shape:
    """The mean shape by generalised Procrustes analysis: symmetric, upright, `STABLE` points about 0, RMS radius 1.

    The portraits' own mean says where the front is: who sits for one looks into the camera.
    """
    meshes = meshes - meshes[:, STABLE].mean(axis=1, keepdims=True)
    meshes = meshes / np.sqrt((meshes**2).sum(axis=2).mean(axis=1))[:, None, None]
    mean = front = meshes.mean(axis=0)
    for _ in range(5):
        mean = np.mean([turned(mesh, mean) for mesh in meshes], axis=0)
    partner = mirror_partners(mean)
    mean, front = ((shape + shape[partner] * [-1, 1, 1]) / 2 for shape in (mean, front))
    return turned(mean / np.sqrt((mean**2).sum(axis=1).mean()), front)


def turned(mesh: Shape, target: Shape) -> Shape:
    """`mesh` rotated about the origin until its stable points lie best upon those of `target`."""
    u, _, vt = np.linalg.svd(mesh[list(STABLE)].T @ target[list(STABLE)])
    return np.asarray(mesh @ u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt)


def mirror_partners(mean: Shape) -> Partners:
    """The point that each point becomes in a mirror: the pairing with the least distance in all."""
    distance = np.linalg.norm(mean[:, None] - mean[None] * [-1, 1, 1], axis=2)
    partner = np.asarray(linear_sum_assignment(distance)[1])
    if not np.array_equal(partner[partner], np.arange(len(partner))):
        raise ValueError("these portraits are too few or too lopsided to tell which points mirror each other")
    return partner


def main() -> None:
    """Write the file beside this script."""
    state = convert(read_tflite(Path(sys.argv[1])))
    mean = mean_face(portrait_meshes(state, Path(sys.argv[2])))
    target = Path(__file__).with_name("face_mesh.safetensors")
    save_file({**state, "mean_mesh": mean.astype(np.float32)}, target)
    print(hashlib.sha256(target.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
