"""The first layers of MobileNetV2, which know textures and shapes from ImageNet."""

from __future__ import annotations

import torch
from torch import nn

SCALES = (1, 3, 6, 10)
"""The last layers at 1/2, 1/4, 1/8 and 1/16 of the side."""
CHANNELS = (16, 24, 32, 64)
"""Of what comes out of them."""


def mobilenet_layers() -> nn.Sequential:
    """The layers up to the last of SCALES, on the meta device: without their weights (Sandler et al., 2018)."""
    from torchvision.models import mobilenet_v2  # not above: a second of importing that few need

    with torch.device("meta"):
        layers: nn.Sequential = mobilenet_v2().features[: SCALES[-1] + 1]
    return layers
