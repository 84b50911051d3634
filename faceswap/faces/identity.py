"""Who a face is: 128 numbers, near for two pictures of one person and far for two people.

The network is dlib's face recognition ResNet, rebuilt: Davis King, "High Quality Face Recognition with Deep Metric
Learning" (2017), `dlib_face_recognition_resnet_model_v1.dat`. It is He et al.'s 34-layer residual network
("Deep Residual Learning for Image Recognition", 2015) with fewer layers and half the filters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from faceswap.faces.landmarks import AnyPicture
from faceswap.geometry import Points, Similarity
from faceswap.media.pictures import cut
from faceswap.types import EMBEDDING, Embedding, Embeddings
from faceswap.weights import weight_file

"""How many numbers describe a person."""

CHIP_SIZE = 150
"""The side in pixels of the square that the network looks at."""

TEMPLATE: Points = np.array([[0.311, 0.306], [0.675, 0.306], [0.486, 0.535], [0.322, 0.668], [0.669, 0.667]])
"""Where the five points lie in dlib's own chip (`get_face_chip`, padding 0.25): the mean over 160 portraits."""
TEMPLATE.setflags(write=False)

SAME_PERSON = 0.55
"""Faces whose embeddings are nearer to each other than this (Euclidean) are taken for one person's.

Measured: of pairs of different people's portraits 0.2% are nearer; of 102 people's neutral and smiling portraits none
is farther apart, and of frames of a clip none is farther from the `typical` embedding of the rest of the clip; of pairs
of single frames of one clip 4% are, nearly all of a woman whose hands pass over her face. dlib says 0.6, which takes
0.9% of the different people for one. Drawn people resemble each other (0.3 to 0.7): tell them apart by the nearest.
"""

Chips = Float[Tensor, "batch 3 150 150"]
"""RGB, 0..1."""

_BATCH = 16  # faces: bounds the memory
_FAR = 1.5  # times the median distance from the median: a clip's own frames reach 1.4 to 1.9, other people's 1.8 to 4


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    With `stride` 2 the shortcut takes the mean of each 2x2 pixels; new channels start from zero.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=2 - stride)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """From (batch, inputs, h, w) to (batch, outputs, h // stride, w // stride)."""
        y: Tensor = self.second(functional.relu(self.first(x)))
        shortcut = functional.avg_pool2d(x, 2) if self.stride == 2 else x

        # Without padding a strided convolution may come out a pixel smaller than the mean; dlib then puts zeros to the
        # right of it and below.
        missing = shortcut.shape[2] - y.shape[2]
        y = functional.pad(y, (0, missing, 0, missing))
        shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))

        return functional.relu(y + shortcut)


class IdentityNetwork(nn.Module):
    """A picture of a face to whose it is: 5.6 M weights, 29 convolutions."""

    def __init__(self) -> None:
        super().__init__()

        self.stem = nn.Conv2d(3, 32, 7, 2)
        widths = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
        halved = (3, 7, 10, 13)  # the blocks that halve the picture: 35, 17, 8, 4, 2
        self.trunk = nn.Sequential(
            *(Residual(widths[max(i - 1, 0)], width, 2 if i in halved else 1) for i, width in enumerate(widths))
        )

        self.head = nn.Linear(256, EMBEDDING, bias=False)

    def forward(self, x: Chips) -> Float[Tensor, "batch 128"]:
        """Embeddings, to be compared by their Euclidean distance."""
        features = self.trunk(functional.max_pool2d(functional.relu(self.stem(x)), 3, 2))
        embeddings: Tensor = self.head(features.mean(dim=(2, 3)))
        return embeddings


def load_identity_network(device: torch.device) -> IdentityNetwork:
    """The network with the weights that ship with the package, float32, ready to be used."""
    network = IdentityNetwork()
    network.load_state_dict(load_file(weight_file("identity")))
    return network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def chip_transform(five: Float[np.ndarray, "5 2"]) -> Similarity:
    """From the frame's pixels to those of the network's input; `five` as `landmarks.five_points` gives them."""
    return Similarity.fit(five, TEMPLATE * CHIP_SIZE - 0.5)


class Identifier:
    """Says who faces are whose five points are known."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self._network = load_identity_network(self._device)

    def embed(self, faces: Sequence[tuple[AnyPicture, Float[np.ndarray, "5 2"]]]) -> Embeddings:
        """The embedding of each (picture, its `landmarks.five_points`), float64; the pictures may differ in size."""
        batches = [self._embed(faces[start : start + _BATCH]) for start in range(0, len(faces), _BATCH)]
        return np.concatenate([np.empty((0, EMBEDDING)), *batches])

    def _embed(self, faces: Sequence[tuple[AnyPicture, Float[np.ndarray, "5 2"]]]) -> Embeddings:
        chips = np.stack([cut(image, chip_transform(five), CHIP_SIZE) for image, five in faces])
        batch = torch.from_numpy(chips).to(self._device).permute(0, 3, 1, 2).float() / 255  # so already channels-last
        with torch.inference_mode():
            embeddings: Embeddings = self._network(batch).cpu().numpy().astype(np.float64)
        return embeddings


def distance(a: Embedding, b: Embedding) -> float:
    """How different two people are: below `SAME_PERSON` they are taken for one."""
    return float(np.linalg.norm(a - b))


def typical(embeddings: Embeddings) -> Embedding:
    """One embedding that stands for many of one person: their mean, without those that lie far from their median.

    So nearly half of them may be someone else's, covered or turned away. Raises ValueError for none.
    """
    if not len(embeddings):
        raise ValueError("no embeddings, nobody")
    away = np.linalg.norm(embeddings - np.median(embeddings, axis=0), axis=1)
    mean: Embedding = embeddings[away <= _FAR * np.median(away)].mean(axis=0)
    return mean
