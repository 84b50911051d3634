"""What lies in front of a face: hands, hair, cups, microphones. A network of our own says which pixels it covers.

It sees aligned crops of `SIDE` px. Its first layers are MobileNetV2's, its last ones look from coarse to fine as in a
U-Net (Ronneberger et al., 2015). `faceswap.training.occlusion` trains it on portraits over which things are pasted
(as Voo et al., 2022, "Delving into high-quality synthetic face occlusion segmentation datasets").
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from faceswap.model.backbone import CHANNELS, load_shipped, look_through, mobilenet_layers
from faceswap.types import Picture

SIDE = 128
"""Pixels of the crops that it looks at."""

Crops = Float[Tensor, "faces 3 side side"]
Covers = Float[Tensor, "faces side side"]
Cover = Float[Tensor, "side side"]

_WIDTHS = (64, 48, 32, 24)  # from the coarsest features up
_SURE = 0.25, 0.75  # below and above these probabilities a pixel is free or covered; in between it is an edge
_BATCH = 16
_OWN = 0.65, 0.8  # shares of a person's pictures: up to here a thing, from there on the person's own
_NEAR = 5  # pixels by which what a person wears moves in the crops
_EDGE = 2  # pixels by which what is seen is drawn in
_LEAST = 0.03  # share of a face, of which less is no thing


class OcclusionNetwork(nn.Module):
    """Crops to the logits that something lies in front of the face at a pixel: 0.33 million weights."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = mobilenet_layers().to_empty(device="cpu")

        skips = CHANNELS[-2::-1]
        self.up = nn.ModuleList(
            nn.Conv2d(coarse + skip, fine, 3, padding=1)
            for (coarse, fine), skip in zip(pairwise(_WIDTHS), skips, strict=True)
        )

        self.head = nn.Sequential(nn.Conv2d(_WIDTHS[-1], 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, crops: Crops) -> Covers:
        """`crops` are RGB, 0..1."""
        *scales, x = look_through(self.backbone, crops)

        # Up again, with what was seen at each scale.
        for convolution, skip in zip(self.up, scales[::-1], strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = functional.relu(convolution(torch.cat([x, skip], dim=1)))
        logits: Covers = self.head(x)[:, 0]
        return logits


def load_occlusion_network(device: torch.device) -> OcclusionNetwork:
    """The network with the weights that ship with the package, float32, ready to be used."""
    network = OcclusionNetwork()
    load_shipped(network, "occlusion")
    return network.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def reduced(crop: Picture) -> Picture:
    """An aligned crop of any size, at the size that is looked at."""
    return cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def usual_cover(visible: Covers) -> Cover:
    """How often something lies in front of a pixel, or of one near it, 0..1, in pictures of one person."""
    near = functional.max_pool2d(1 - visible[:, None], 2 * _NEAR + 1, stride=1, padding=_NEAR)
    return near[:, 0].mean(dim=0)


def seen_of(faces: Covers, visible: Covers, usual: Cover) -> Covers:
    """What is seen of one person's `faces` (their masks, 0..1), where `usual` is the `usual_cover` of many.

    What lies before most of them, glasses, a fringe, a beard that is taken for a thing, is the person's own and counts
    as seen; and so does what is too small to be more than an error. Edges are drawn in a little, so that nothing of a
    thing is left.
    """
    rare, common = _OWN
    seen = torch.maximum(visible, ((usual - rare) / (common - rare)).clamp(0, 1))
    share = ((1 - seen) * faces).sum(dim=(1, 2)) / faces.sum(dim=(1, 2)).clamp_min(1)
    seen = torch.where(share[:, None, None] < _LEAST, 1, seen)
    return -functional.max_pool2d(-seen[:, None], 2 * _EDGE + 1, stride=1, padding=_EDGE)[:, 0]


class OcclusionFinder:
    """Says what of a face can be seen."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._network = load_occlusion_network(device)

    @torch.inference_mode()
    def visible(self, crops: Sequence[Picture]) -> Float[Tensor, "faces side side"]:
        """Of aligned crops of `SIDE` px: 1 where the face is seen, 0 where something lies in front of it.

        On the device. Beside the face the values mean nothing.
        """
        found = [torch.ones(0, SIDE, SIDE, device=self._device)]
        for start in range(0, len(crops), _BATCH):
            pictures = torch.from_numpy(np.stack(crops[start : start + _BATCH])).to(self._device)
            covered = torch.sigmoid(self._network(pictures.permute(0, 3, 1, 2).float() / 255))
            low, high = _SURE
            found.append(1 - ((covered - low) / (high - low)).clamp(0, 1))
        return torch.cat(found)
