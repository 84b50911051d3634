"""Where eyes look: the irises and the lids of faces whose mesh is known.

The network is MediaPipe's iris landmark network, rebuilt; after Ablavatski et al., "Real-time pupil tracking from
monocular video for digital puppetry" (2020). It looks at one eye, as large as fits: a right eye in a mirror, so that it
has to know left ones only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from faceswap.faces.landmarks import LEFT_EYE, RIGHT_EYE, pad_as_tensorflow
from faceswap.geometry import Similarity
from faceswap.media.pictures import cut
from faceswap.precision import multiplies_in_bfloat16
from faceswap.types import MeshPoints, Picture
from faceswap.weights import weight_file

SIDE = 64
"""Pixels of the square that the network looks at."""

EyePictures = Float[Tensor, "batch 3 64 64"]
"""RGB, 0..1."""
LidPoints = Float[Tensor, "batch 71 3"]
IrisPoints = Float[Tensor, "batch 5 3"]
"""In pixels of the network's input, where 0 is its left and upper edge; the third is the depth."""

EyeOutline = tuple[int, ...]
"""Which points of the mesh are an eye's."""
EYES: tuple[EyeOutline, EyeOutline] = (LEFT_EYE, RIGHT_EYE)
"""As the viewer sees them."""

_CORNERS = 0, 8  # of an eye's outline: the outer one and the inner one
_ROOM = 2.3  # side of the square, by the distance of an eye's corners
_OUTLINE = (*range(9), *range(15, 8, -1))  # of the network's points: its upper lid begins at the outer corner, too
_SHUT = 0.12  # of the eye's width: with lids no further apart no iris is to be seen
_CLEARLY = 1.15  # times as wide
_BATCH = 8  # eyes, of the layers that see them large


class Block(nn.Module):
    """Pointwise, depthwise 3x3 and pointwise convolutions, narrow between, beside a shortcut.

    With `halving` the first one takes 2x2 pixels at once and the shortcut their maximum; new channels start from zero.
    """

    def __init__(self, inputs: int, middle: int, outputs: int, *, halving: bool = False) -> None:
        super().__init__()
        self.halving = halving
        step = 2 if halving else 1

        self.narrow = nn.Conv2d(inputs, middle, step, step)
        self.narrow_act = nn.PReLU(middle)
        self.see = nn.Conv2d(middle, middle, 3, padding=1, groups=middle)
        self.widen = nn.Conv2d(middle, outputs, 1)
        self.act = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """From (batch, inputs, h, w) to (batch, outputs, h, w), or half of that."""
        y: Tensor = self.widen(self.see(self.narrow_act(self.narrow(x))))
        shortcut = functional.max_pool2d(x, 2) if self.halving else x
        if y.shape[1] > x.shape[1]:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        out: Tensor = self.act(y + shortcut)
        return out


class IrisNetwork(nn.Module):
    """A picture of a left eye to 71 points of lids and brow and to five of the iris: 0.66 M weights."""

    def __init__(self) -> None:
        super().__init__()

        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, 2), nn.PReLU(64))
        self.trunk = nn.Sequential(
            *(Block(64, 32, 64) for _ in range(4)),
            Block(64, 64, 128, halving=True),
            *(Block(128, 64, 128) for _ in range(4)),
            Block(128, 64, 128, halving=True),
        )

        self.lids, self.iris = (_read_out(points * 3) for points in (71, 5))

    def forward(self, x: EyePictures) -> tuple[LidPoints, IrisPoints]:
        """Lids and brow; and the iris: its middle, then right, top, left and bottom of its rim."""
        # In parts that a processor's cache holds; what is left of them is so small that starting to compute costs more.
        parts = [self.trunk(self.stem(pad_as_tensorflow(part))) for part in torch.split(x, _BATCH)]
        features = torch.cat(parts)
        return _points(self.lids, features), _points(self.iris, features)


def _read_out(outputs: int) -> nn.Sequential:
    """From 128 x 8 x 8 features to so many numbers."""
    blocks = (Block(128, 64, 128, halving=number in (2, 5)) for number in range(8))
    return nn.Sequential(*blocks, nn.Conv2d(128, outputs, 2))


@dataclass(frozen=True)
class Eye:
    """One eye, in the pixels of the picture that it was found in."""

    lids: Float[np.ndarray, "16 2"]
    """Its outline, in the order of `landmarks.LEFT_EYE`: from the outer corner along the lower lid and back."""
    iris: Float[np.ndarray, 2]
    """The middle of the iris."""

    @property
    def gaze(self) -> float:
        """How far the iris lies to the viewer's right of the middle between the corners, by their distance."""
        left, right = sorted((self.lids[_CORNERS[0]], self.lids[_CORNERS[1]]), key=lambda corner: float(corner[0]))
        across = right - left
        return float((self.iris - (left + right) / 2) @ across / max(float(across @ across), 1e-6))

    @property
    def shut(self) -> bool:
        """Whether the lids are so close that nobody sees where the eye looks."""
        return self.opening < _SHUT

    @property
    def opening(self) -> float:
        """The distance of the lids, by that of the corners."""
        apart = self.lids[11:14].mean(axis=0) - self.lids[3:6].mean(axis=0)
        return float(np.hypot(*apart) / max(float(np.hypot(*(self.lids[8] - self.lids[0]))), 1e-6))


def _points(head: nn.Sequential, features: Tensor) -> Float[Tensor, "batch points 3"]:
    """What a head reads out, its last layer in float32: bfloat16 has no places between the quarters of a pixel."""
    seen = head[:-1](features)
    with torch.autocast(seen.device.type, enabled=False):
        points: Tensor = head[-1](seen.float())
    return points.reshape(len(points), -1, 3)


class IrisFinder:
    """Finds lids and irises of eyes that the face mesh has found."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        network = IrisNetwork()
        network.load_state_dict({name: value.float() for name, value in load_file(weight_file("irises")).items()})
        self._network = network.to(self._device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._half = multiplies_in_bfloat16(self._device)

    def locate(self, eyes: Sequence[tuple[Picture, MeshPoints, EyeOutline]]) -> list[Eye]:
        """Each eye, one of EYES, of a face whose mesh lies in the pixels of the picture beside it."""
        if not eyes:
            return []
        squares = [_square(points[list(outline), :2]) for _, points, outline in eyes]
        mirrored = np.array([outline == RIGHT_EYE for _, _, outline in eyes])

        # As the network knows eyes.
        pictures = np.stack([cut(picture, square, SIDE) for (picture, _, _), square in zip(eyes, squares, strict=True)])
        pictures[mirrored] = pictures[mirrored, :, ::-1]
        batch = torch.from_numpy(pictures).to(self._device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            lids, irises = (points.cpu().double().numpy() for points in self._network(batch))

        # As they lie in the pictures; the network counts from the edge of the first pixel, we from its centre.
        places = np.concatenate([lids[:, _OUTLINE, :2], irises[:, :1, :2]], axis=1) - 0.5
        places[mirrored, :, 0] = SIDE - 1 - places[mirrored, :, 0]
        found = [square.inverse().apply(points) for square, points in zip(squares, places, strict=True)]
        return [Eye(points[:-1], points[-1]) for points in found]


def nearer_eye(points: MeshPoints) -> int:
    """Which of EYES a turned head shows better: the left one unless the right one is clearly wider, so that a head that
    looks into the camera does not change eyes from frame to frame."""
    left, right = (float(np.hypot(*(points[eye[0], :2] - points[eye[8], :2]))) for eye in EYES)
    return int(right > _CLEARLY * left)


def _square(lids: Float[np.ndarray, "16 2"]) -> Similarity:
    """From the picture's pixels to those of the network's input, in which the eye lies level."""
    corners = lids[list(_CORNERS)].astype(np.float64)
    left, right = corners[np.argsort(corners[:, 0])]

    across = right - left
    width = max(float(np.hypot(*across)), 1e-3)

    scale = SIDE / (_ROOM * width)
    a, b = scale * across[0] / width, -scale * across[1] / width
    turned = Similarity(a, b, 0.0, 0.0)
    x, y = turned.apply((left + right)[None] / 2)[0]

    return Similarity(a, b, (SIDE - 1) / 2 - float(x), (SIDE - 1) / 2 - float(y))
