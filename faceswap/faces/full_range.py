"""Finding faces that lie on their side, stand on their head, or look away: where the cascade of `detect.py` sees none.

The network is MediaPipe's dense full-range face detector, rebuilt; after Bazarevsky et al., "BlazeFace: sub-millisecond
neural face detection on mobile GPUs" (2019). It sees the whole picture at 192 px: faces smaller than some fifteenth of
the longer side are missed.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from faceswap.faces.follow import overlap
from faceswap.faces.landmarks import five_points, mean_mesh, pad_as_tensorflow
from faceswap.geometry import Similarity
from faceswap.types import Detection, Picture
from faceswap.weights import weight_file

SIDE = 192
"""Pixels of the square that the network looks at."""
GRID = 48
"""Cells in each direction, each of which may hold a face."""

Pictures = Float[Tensor, "batch 3 192 192"]
"""RGB, -1..1."""
Cells = Float[Tensor, "batch 48 48"]
Places = Float[Tensor, "batch 16 48 48"]
Keypoints = Float[np.ndarray, "6 2"]
"""The eyes, left to right as the viewer sees them if the head is upright and frontal, the nose tip, the middle of the
mouth, and the ears."""

_LEAST_SCORE = 0.6
_SAME = 0.3  # overlap of boxes that are of one face


class Block(nn.Module):
    """Two depthwise 3x3 and pointwise convolutions, narrow between, beside a shortcut.

    With `stride` 2 the shortcut takes the maximum of each 2x2 pixels; new channels start from zero.
    """

    def __init__(self, inputs: int, middle: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.see = nn.Conv2d(inputs, inputs, 3, stride, padding=2 - stride, groups=inputs)
        self.narrow = nn.Conv2d(inputs, middle, 1)
        self.see_again = nn.Conv2d(middle, middle, 3, padding=1, groups=middle)
        self.widen = nn.Conv2d(middle, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """From (batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        seen = self.see(pad_as_tensorflow(x) if self.stride == 2 else x)
        y: Tensor = self.widen(self.see_again(functional.relu(self.narrow(seen))))
        shortcut = functional.max_pool2d(x, 2) if self.stride == 2 else x
        if y.shape[1] > x.shape[1]:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return functional.relu(y + shortcut)


class Rise(nn.Module):
    """From a coarse scale to the next finer one: what was seen there is added, and looked at again."""

    def __init__(self, coarse: int, fine: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.coarse, self.fine = nn.Conv2d(coarse, outputs, 1), nn.Conv2d(fine, outputs, 1)
        self.blocks = nn.Sequential(*(Block(outputs, outputs // 2, outputs) for _ in range(blocks)))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(batch, coarse, h, w) and (batch, fine, 2h, 2w) to (batch, outputs, 2h, 2w)."""
        above = functional.interpolate(functional.relu(self.coarse(coarse)), scale_factor=2, mode="bilinear")
        together: Tensor = self.blocks(functional.relu(self.fine(fine)) + above)
        return together


class FullRangeNetwork(nn.Module):
    """A picture to how much each of 48 x 48 cells holds a face, and where: 0.5 M weights."""

    def __init__(self) -> None:
        super().__init__()

        self.stem = nn.Conv2d(3, 32, 3, 2)
        self.stages = nn.ModuleList(
            [
                _stage(32, (8, 32), (8, 32)),
                _stage(32, (12, 48), (12, 48), (16, 64), stride=2),
                _stage(64, (24, 96), (32, 128), (32, 128), stride=2),
                _stage(128, (36, 144), (48, 192), (64, 256), stride=2),
                _stage(256, (96, 384), (96, 384), (96, 384), (96, 384), stride=2),
            ]
        )

        self.rises = nn.ModuleList([Rise(384, 256, 96, 2), Rise(96, 128, 64, 2), Rise(64, 64, 48, 1)])
        self.score, self.place = nn.Conv2d(48, 1, 1), nn.Conv2d(48, 16, 1)

    def forward(self, x: Pictures) -> tuple[Cells, Places]:
        """Logits; and for each cell the box's middle and size and six keypoints, x and y by turns, in pixels of x: the
        size as it is, all else from the cell's middle."""
        y = functional.relu(self.stem(pad_as_tensorflow(x)))
        scales = []
        for stage in self.stages:
            y = stage(y)
            scales.append(y)

        for rise, finer in zip(self.rises, scales[-2:0:-1], strict=True):
            y = rise(y, finer)
        return self.score(y)[:, 0], self.place(y)


def _stage(inputs: int, *widths: tuple[int, int], stride: int = 1) -> nn.Sequential:
    """Blocks of one scale, by their widths between and after; the first takes the stride."""
    blocks = []
    for middle, outputs in widths:
        blocks.append(Block(inputs, middle, outputs, stride))
        inputs, stride = outputs, 1
    return nn.Sequential(*blocks)


class FullRangeDetector:
    """Finds faces that look to any side, however the head is turned in the picture; none under `min_face` px."""

    def __init__(self, device: torch.device | None = None, min_face: int | None = None) -> None:
        self._device = device or torch.device("cpu")
        self._min_face = min_face or 0
        network = FullRangeNetwork()
        network.load_state_dict(load_file(weight_file("full_range")))
        network.to(self._device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        self._network = network

    def detect(self, images: Sequence[Picture]) -> list[list[Detection]]:
        """See `detect.Detector.detect`. Pictures are looked at from all four sides; of what is seen from several, what
        is seen best counts."""
        return [self._from_all_sides(image) for image in images]

    def _from_all_sides(self, image: Picture) -> list[Detection]:
        seen = [
            _turned_back(face, quarters, image.shape[1], image.shape[0])
            for quarters in range(4)
            for face in self._upright(np.ascontiguousarray(np.rot90(image, quarters)))
        ]

        found: list[Detection] = []
        for face in sorted(seen, key=lambda face: -face.score):
            if all(overlap(face.box, other.box) < _SAME for other in found):
                found.append(face)

        return sorted(found, key=_less_area)

    @torch.inference_mode()
    def _upright(self, image: Picture) -> list[Detection]:
        square, to_square = _letterboxed(image)
        pixels = torch.from_numpy(square).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1
        scores, places = (values[0].cpu().numpy() for values in self._network(pixels))

        found: list[Detection] = []
        sure = 1 / (1 + np.exp(-scores.clip(-50, 50)))
        for cell in np.argsort(-sure, axis=None)[: np.count_nonzero(sure >= _LEAST_SCORE)]:
            row, column = divmod(int(cell), GRID)
            face = _detection(places[:, row, column], (row, column), float(sure[row, column]), to_square.inverse())
            wide = face.box[2] - face.box[0] >= self._min_face
            if wide and all(overlap(face.box, other.box) < _SAME for other in found):
                found.append(face)

        return found


def _less_area(face: Detection) -> float:
    """To sort by, the largest first."""
    left, top, right, bottom = face.box
    return (left - right) * (bottom - top)


def _letterboxed(image: Picture) -> tuple[Picture, Similarity]:
    """The whole picture in the middle of the network's square, on black, and the way there."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2

    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=how)
    return square, Similarity.resize(scale).then(Similarity(1.0, 0.0, float(left), float(top)))


def _detection(place: Float[np.ndarray, 16], cell: tuple[int, int], score: float, back: Similarity) -> Detection:
    """What one cell says of a face, in the frame's pixels."""
    row, column = cell
    middle = (np.array([column, row]) + 0.5) * SIDE / GRID
    centre, half = middle + place[:2], np.abs(place[2:4]) / 2
    points = back.apply(middle + place[4:].reshape(6, 2) - 0.5)
    left, top, right, bottom = back.apply(np.stack([centre - half, centre + half]) - 0.5).ravel().tolist()
    return Detection((left, top, right, bottom), score, _five_of(points))


def _five_of(points: Keypoints) -> Float[np.ndarray, "5 2"]:
    """Two eyes, nose tip and two corners of the mouth where a face whose eyes and mouth these are would have them if it
    looked at the camera: in a profile the eyes lie on each other, and their line says nothing.

    The head's height, from the eyes to the mouth, is the same however it is turned.
    """
    eyes, mouth = points[:2].mean(axis=0), points[3]
    mean = five_points(mean_mesh())
    axis = np.stack([mean[:2].mean(axis=0), mean[3:].mean(axis=0)])
    if np.hypot(*(mouth - eyes)) < 1:
        return points[[0, 1, 2, 3, 3]]
    return Similarity.fit(axis, np.stack([eyes, mouth])).apply(mean)


def _turned_back(face: Detection, quarters: int, width: int, height: int) -> Detection:
    """A face of a picture that was turned against the clock by `quarters`, in the pixels of the `width` x `height` one
    that it was made of."""

    def back(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        x, y = points.T
        ways = ((x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x))
        return np.stack(ways[quarters], axis=1)

    left, top, right, bottom = face.box
    corners = back(np.array([[left, top], [right, bottom]]))
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return Detection((left, top, right, bottom), face.score, back(face.landmarks))
