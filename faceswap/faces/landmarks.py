"""468 points on a face, and what can be read from them: pose, eyes, mouth.

The network is MediaPipe's face mesh, rebuilt: Kartynnik et al., "Real-time Facial Surface Geometry from Monocular
Video on Mobile GPUs" (2019). Left and right are the viewer's throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import load_file as load_torch
from torch import Tensor, nn
from torch.nn import functional

from faceswap.geometry import Points, Similarity
from faceswap.media.pictures import cut
from faceswap.types import Box, Detection, Face, MeshPoints, Picture
from faceswap.weights import weight_file

INPUT_SIZE = 192
"""The side in pixels of the square that the network looks at."""

SomePoints = Float[np.ndarray, "n 3"]

AnyPicture = UInt8[np.ndarray, "_ _ 3"]
"""A `Picture` whose size need not be its neighbours'."""
Pictures = Float[Tensor, "batch 3 192 192"]
"""RGB, 0..1."""
Meshes = Float[Tensor, "batch 468 3"]
Logits = Float[Tensor, " batch"]

# Closed outlines, in order; the brows are each an upper edge and a lower one.
# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
_NOSE_TIP = 1
NOSTRILS = (115, 48, 64, 98, 97, 2, 326, 327, 294, 278, 344)  # from wing to wing, and below
LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
RIGHT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
STABLE = (
    1, 4, 5, 6, 9, 151, 168, 195, 197,  # nose and forehead, in the middle
    3, 21, 33, 51, 54, 68, 69, 104, 108, 111, 116, 117, 122, 127, 131, 133, 143, 162, 196, 198, 234, 236,
    248, 251, 263, 281, 284, 298, 299, 333, 337, 340, 345, 346, 351, 356, 360, 362, 372, 389, 419, 420, 454, 456,
)
"""Points that hold still when the face speaks or blinks: nose, forehead, temples, cheekbones, corners of the eyes."""
# fmt: on


@dataclass(frozen=True)
class Pose:
    """Which way a head looks, in degrees: turned by yaw, then by pitch, then by roll about the camera's axes."""

    yaw: float
    """Positive: the face turns towards the viewer's right."""
    pitch: float
    """Positive: it looks down."""
    roll: float
    """Positive: it leans clockwise as the viewer sees it."""


class Block(nn.Module):
    """A depthwise 3x3 and a pointwise convolution beside a shortcut.

    With `stride` 2 the shortcut takes the maximum of each 2x2 pixels; new channels start from zero.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding=2 - stride, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """From (batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        y: Tensor = self.pointwise(self.depthwise(pad_as_tensorflow(x) if self.stride == 2 else x))
        shortcut = functional.max_pool2d(x, 2) if self.stride == 2 else x
        if y.shape[1] > x.shape[1]:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        activated: Tensor = self.act(y + shortcut)
        return activated


def pad_as_tensorflow(x: Tensor) -> Tensor:
    """Zeros for a 3x3 convolution of stride 2 where TensorFlow puts them: to the right and below only."""
    return functional.pad(x, (0, 1, 0, 1))


class MeshNetwork(nn.Module):
    """A picture of a face to its 468 points and to how much it is one: 0.6 M weights, 35 M multiplications."""

    def __init__(self) -> None:
        super().__init__()

        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.PReLU(16))
        widths = (16, 16, 32, 32, 32, 64, 64, 64, 128, 128, 128, 128, 128, 128)
        halved = (2, 5, 8, 11)  # the blocks that halve the picture: 96, 48, 24, 12, 6
        self.trunk = nn.Sequential(
            *(Block(widths[max(i - 1, 0)], width, 2 if i in halved else 1) for i, width in enumerate(widths))
        )

        self.points = nn.Sequential(Block(128, 128, 2), Block(128, 128), Block(128, 128), *_read_out(468 * 3))
        self.presence = nn.Sequential(Block(128, 128, 2), *_read_out(1))

    def forward(self, x: Pictures) -> tuple[Meshes, Logits]:
        """Points in pixels of x, where 0 is its left and upper edge; and the presence of a face as a logit."""
        features = self.trunk(self.stem(pad_as_tensorflow(x)))
        return self.points(features).reshape(-1, 468, 3), self.presence(features).reshape(-1)


def _read_out(outputs: int) -> tuple[nn.Module, ...]:
    """From 128 x 3 x 3 features to so many numbers."""
    return nn.Conv2d(128, 32, 1), nn.PReLU(32), Block(32, 32), nn.Conv2d(32, outputs, 3)


def load_mesh_network(device: torch.device) -> MeshNetwork:
    """The network with the weights that ship with the package, float32, ready to be used."""
    weights = load_torch(weight_file("face_mesh"))
    del weights["mean_mesh"]
    network = MeshNetwork()
    network.load_state_dict(weights)
    # Channels last: a third faster on a processor.
    return network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


Corner = Float[np.ndarray, "2"]
Place = Detection | Face | Box | Similarity
"""Where a face is: as detected, as seen in the frame before, as a box, or the frame's way to the input square."""
_MARGIN = 0.25


def input_square(place: Place) -> Similarity:
    """From the frame's pixels to those of the network's input: upright by the eyes, with a margin of 25%.

    From a box alone the roll is not known: it is taken as 0.
    """
    match place:
        case Similarity():
            return place
        case Detection():
            mean = mean_mesh()
            return Similarity.fit(place.landmarks, five_points(mean)).then(_square_around(mean[:, :2]))
        case Face():
            left, right = place.points[LEFT_EYE[0]], place.points[RIGHT_EYE[0]]
            across = right[:2] - left[:2]
            norm = max(float(np.hypot(*across)), 1e-6)
            upright = Similarity(float(across[0]) / norm, -float(across[1]) / norm, 0.0, 0.0)
            return upright.then(_square_around(upright.apply(place.points[:, :2])))
        case left, top, right, bottom:
            return _square_around(np.array([[left, top], [right, bottom]]))


def _square_around(points: Points) -> Similarity:
    """The input square of an upright face whose points these are."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(float((high - low).max()), 1e-3) * (1 + 2 * _MARGIN)
    scale = INPUT_SIZE / side
    shift = (INPUT_SIZE - 1) / 2 - scale * (low + high) / 2
    return Similarity(scale, 0.0, float(shift[0]), float(shift[1]))


class FaceMesh:
    """Finds the mesh of faces whose whereabouts are known.

    A face's own mesh is the best place to look for it again, in the next frame or in the same one.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self._network = load_mesh_network(self._device)

    def locate(self, image: Picture, places: Sequence[Place]) -> list[Face]:
        """The faces at several places in one picture, in the order of `places`."""
        return self.locate_each([(image, place) for place in places])

    def locate_each(self, faces: Sequence[tuple[AnyPicture, Place]]) -> list[Face]:
        """The face at each (picture, place), in one batch; the pictures may differ in size."""
        if not faces:
            return []

        squares = [input_square(place) for _, place in faces]
        crops = [cut(image, square, INPUT_SIZE) for (image, _), square in zip(faces, squares, strict=True)]
        batch = torch.from_numpy(np.stack(crops)).to(self._device).permute(0, 3, 1, 2).float() / 255

        with torch.inference_mode():
            points, presence = self._network(batch)

        found = zip(points.cpu().numpy(), presence.sigmoid().tolist(), squares, strict=True)
        return [Face(_to_frame(p, square), score) for p, score, square in found]


def _to_frame(points: MeshPoints, square: Similarity) -> MeshPoints:
    """From the network's output to the frame's pixels."""
    back = square.inverse()
    # The network counts from the edge of the first pixel, we from its centre.
    xy = back.apply(points[:, :2].astype(np.float64) - 0.5)
    return np.column_stack([xy, points[:, 2] * back.scale]).astype(np.float32)


@cache
def mean_mesh() -> MeshPoints:
    """The mean of many faces: frontal, symmetric about x = 0, RMS radius 1, its `STABLE` points about the origin.

    Read-only, float64.
    """
    mean = load_numpy(weight_file("face_mesh"))["mean_mesh"].astype(np.float64)
    mean.setflags(write=False)
    return mean


@dataclass(frozen=True)
class Rigid:
    """How the mean face lies in a picture if it cannot be bent: turned, enlarged, moved."""

    turn: Float[np.ndarray, "3 3"]
    """A rotation of `mean_mesh`'s axes."""
    scale: float
    """Pixels per unit of `mean_mesh`, whichever way the head looks."""
    centre: Corner
    """Where the mean face's origin comes to lie: between the eyes and the nose tip."""

    @property
    def roll(self) -> float:
        """By how much the head's own vertical leans clockwise in the picture, in radians."""
        return math.atan2(-self.turn[0, 1], self.turn[1, 1])


def rigid(points: MeshPoints) -> Rigid:
    """The rotation, scale and shift that lay the mean face best upon this one, by the `STABLE` points alone.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991), in space.
    """
    mean, seen = mean_mesh()[list(STABLE)], points[list(STABLE)].astype(np.float64)
    centre = seen.mean(axis=0)
    u, stretch, vt = np.linalg.svd((seen - centre).T @ mean)
    sign = np.array([1.0, 1.0, np.linalg.det(u @ vt)])  # never a reflection
    return Rigid((u * sign) @ vt, float((stretch * sign).sum() / (mean**2).sum()), centre[:2])


def distortion(points: MeshPoints) -> float:
    """How far the `STABLE` points are in the picture from where a rigid mean face has them, RMS, in units of
    `mean_mesh`: up to 0.07 in portraits of many people; more where the network took parts of two faces for one."""
    fit = rigid(points)
    expected = fit.scale * mean_mesh()[list(STABLE)] @ fit.turn.T[:, :2] + fit.centre
    away = points[list(STABLE), :2] - expected
    return float(np.sqrt((away**2).sum(axis=1).mean())) / fit.scale


def pose(points: MeshPoints) -> Pose:
    """Which way the face looks, see `rigid`."""
    fit = rigid(points)
    yaw = math.atan2(fit.turn[2, 0], fit.turn[2, 2])
    pitch = math.asin(np.clip(fit.turn[2, 1], -1, 1))
    return Pose(math.degrees(yaw), math.degrees(pitch), math.degrees(fit.roll))


def five_points(points: MeshPoints) -> Float[np.ndarray, "5 2"]:
    """The eyes' centres, the nose tip and the mouth corners, as in `Detection.landmarks`, from many points each."""
    eyes = [points[list(eye), :2].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.stack([*eyes, points[_NOSE_TIP, :2], points[LIPS_OUTER[0], :2], points[LIPS_OUTER[10], :2]])


def eye_opening(points: MeshPoints) -> tuple[float, float]:
    """How open the left and the right eye are: the lids' distance over the eye's width as seen.

    About 0.2 when shut and 0.3 to 0.4 when open: compare it with the same person's other frames.
    """
    return _opening(points, LEFT_EYE), _opening(points, RIGHT_EYE)


def _opening(points: MeshPoints, eye: tuple[int, ...]) -> float:
    lower, upper = points[list(eye[3:6])], points[list(eye[13:10:-1])]
    return _seen(lower, upper) / max(_seen(points[[eye[0]]], points[[eye[8]]]), 1e-9)


def mouth_opening(points: MeshPoints) -> float:
    """How open the mouth is: the lips' gap over the distance of the eyes' outer corners as seen, 0 .. about 0.5."""
    lower, upper = points[[87, 14, 317]], points[[82, 13, 312]]
    return _seen(lower, upper) / max(_seen(points[[LEFT_EYE[0]]], points[[RIGHT_EYE[0]]]), 1e-9)


def _seen(a: SomePoints, b: SomePoints) -> float:
    """The mean distance of point pairs in the picture; the depth of lids and lips is mostly noise."""
    return float(np.linalg.norm(a[:, :2] - b[:, :2], axis=1).mean())
