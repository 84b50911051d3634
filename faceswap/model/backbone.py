"""The first layers of MobileNetV2, which know textures and shapes from ImageNet."""

from __future__ import annotations

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from faceswap.weights import weight_file

SCALES = (1, 3, 6, 10)
"""The last layers at 1/2, 1/4, 1/8 and 1/16 of the side."""
CHANNELS = (16, 24, 32, 64)
"""Of what comes out of them."""

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours


def mobilenet_layers() -> nn.Sequential:
    """The layers up to the last of SCALES, on the meta device: without their weights (Sandler et al., 2018)."""
    from torchvision.models import mobilenet_v2  # not above: a second of importing that few need

    with torch.device("meta"):
        layers: nn.Sequential = mobilenet_v2().features[: SCALES[-1] + 1]
    return layers


def look_through(layers: nn.Sequential, pictures: Float[Tensor, "batch 3 h w"]) -> list[Tensor]:
    """What comes out at each of SCALES, the finest first; `pictures` are RGB, 0..1."""
    mean, deviation = (pictures.new_tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
    seen = ((pictures - mean) / deviation).contiguous(memory_format=torch.channels_last)
    scales = []
    for number, layer in enumerate(layers):
        seen = layer(seen)
        if number in SCALES:
            scales.append(seen)
    return scales


def load_shipped(network: nn.Module, name: str) -> None:
    """Give a network that is made of these layers the weights that ship as `name`.

    Raises RuntimeError if they are another network's.
    """
    known = {key: value.float() for key, value in load_file(weight_file(name)).items()}
    missing, strange = network.load_state_dict(known, assign=True, strict=False)
    if strange or any(not key.endswith("num_batches_tracked") for key in missing):  # a count that nothing needs
        raise RuntimeError(f"the weights '{name}' are those of another network")
