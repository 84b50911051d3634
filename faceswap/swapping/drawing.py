"""What a person's decoder draws of a face's latent, as large as it is worth."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, cat
from torch.nn import functional

from faceswap.model.bottleneck import Latent
from faceswap.model.detail import enlarged, face_window
from faceswap.model.swap_model import SwapModel


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One face from a decoder, and from its detail stage. RGB and mask in 0..1, float32, on the model's device."""

    picture: Float[Tensor, "3 large large"]
    coarse: Float[Tensor, "3 size size"]
    mask: Float[Tensor, "large large"]

    @property
    def side(self) -> int:
        """Of the picture, in pixels."""
        return self.picture.shape[-1]


def draw(model: SwapModel, latent: Latent, person: str, side: int) -> list[Drawn]:
    """Each face that `latent` describes as `person`, with pictures of `side` px: the model's size times a power of two,
    at most its output size. Raises KeyError for an unknown person."""
    size = model.config.size
    if side == size:
        small = model.decode(latent, person)
        return [
            Drawn(picture=picture, coarse=picture, mask=mask)
            for picture, mask in zip(small.picture, small.mask[:, 0], strict=True)
        ]

    # Beyond the window there is no face: the coarse picture will do.
    window = face_window(size)
    rendered = model.render(latent, person, window)
    whole = enlarged(cat([rendered.coarse.picture, rendered.coarse.mask], dim=1), model.config.detail)
    window.of(whole, size)[:, :3] = rendered.fine.picture

    if whole.shape[-1] > side:
        whole = functional.avg_pool2d(whole, whole.shape[-1] // side)
    return [
        Drawn(picture=one[:3], coarse=coarse, mask=one[3])
        for one, coarse in zip(whole, rendered.coarse.picture, strict=True)
    ]
