"""The detail stage: from a decoder's small picture to one that is as sharp as the video.

A decoder of 64 px knows where everything lies and what colour it is. What is missing, lashes, teeth, the rim of an
iris, is added here as a residual on the enlarged picture. Nearly all the work is done at twice the decoder's last
features, a quarter of the final side; one last convolution gives the sub-pixels (Shi et al., 2016) of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from jaxtyping import Float
from torch import Tensor, nn

from faceswap.model.blocks import Features, Upsample, activation, conv

WIDTH = 48
"""Channels of the stage."""

Planes = Float[Tensor, "*batch _ _"]
CoarseLogits = Float[Tensor, "batch 4 _ _"]
FineLogits = Float[Tensor, "batch 3 _ _"]
"""R, G and B: a logistic function takes them to [0, 1]. The mask stays the coarse one."""
_COLOURS = 3
_ABOVE, _BESIDE = 1 / 16, 1 / 8  # shares of a crop's side in which there is no face
_BY_CHANNEL = torch.contiguous_format  # of large pictures: losses and fitting walk through them channel by channel


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a coarse picture, in its pixels; all even, since features lie at half its side."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, planes: Planes, size: int) -> Planes:
        """The same part of planes that show the whole of a picture of `size` px, whatever their own side is."""
        scale = planes.shape[-1] / size
        rows, columns = (
            slice(round(begin * scale), round(end * scale))
            for begin, end in ((self.top, self.bottom), (self.left, self.right))
        )
        return planes[..., rows, columns]


def face_window(size: int) -> Window:
    """Where faces lie in crops of `size` px, as a rule: only there are details learnt and drawn."""
    above, beside = (2 * int(size * share / 2) for share in (_ABOVE, _BESIDE))
    return Window(top=above, bottom=size, left=beside, right=size - beside)


class Detail(nn.Module):
    """Adds what a picture `times` as large shows more; starts as the plain enlargement."""

    def __init__(self, channels: int, times: int) -> None:
        super().__init__()
        self.times = times
        self.enter = Upsample(channels, WIDTH - _COLOURS)
        self.first = conv(WIDTH, WIDTH)
        self.second = conv(WIDTH, WIDTH)
        self.third = conv(WIDTH, WIDTH)
        self.act = activation()
        self.head = nn.Conv2d(WIDTH, _COLOURS * times**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]  # Conv2d always has a bias here

    def forward(self, features: Features, coarse: CoarseLogits) -> FineLogits:
        """From a decoder's last features, at half its picture's side, and that picture, as logits."""
        # What the small picture shows, and what the decoder had in mind.
        seen = torch.cat([self.enter(features), coarse[:, :_COLOURS].to(features.dtype)], dim=1)

        # Looking around at the small picture's size.
        wide = self.act(self.first(seen))
        wide = self.act(self.third(self.act(self.second(wide))) + wide)

        # The large picture: the small one, enlarged, and the residual in sub-pixels.
        residual = F.pixel_shuffle(self.head(wide), self.times)
        return enlarged(coarse[:, :_COLOURS], self.times) + residual.to(torch.float32, memory_format=_BY_CHANNEL)


def enlarged(planes: Float[Tensor, "batch channels _ _"], times: int) -> Float[Tensor, "batch channels _ _"]:
    """The same at `times` the side, float32."""
    planes = planes.to(torch.float32, memory_format=_BY_CHANNEL)
    return F.interpolate(planes, scale_factor=times, mode="bilinear", align_corners=False)


def is_detail(name: str) -> bool:
    """Whether a parameter of this name, in a model or a decoder, belongs to a detail stage."""
    return "detail" in name.split(".")


def load_keeping_detail(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights that may be from before there was a detail stage: then the module keeps the one it has.

    Raises RuntimeError for weights of another shape, as `load_state_dict` does.
    """
    kept = {name: value for name, value in module.state_dict().items() if is_detail(name)}
    module.load_state_dict(kept | dict(weights))
