"""Laying a person's own skin on a swapped face: pores, stubble and fine wrinkles that its decoder does not draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.faces.skin import Skin
from faceswap.swapping.detail import luminance

Pictures = Float[Tensor, "batch 3 h w"]
Planes = Float[Tensor, "batch 1 h w"]
Fields = Float[Tensor, "batch 3 h w"]

_LEVELS = 4  # of the pyramid: down to an eighth, for small faces
_STRONGEST = (
    1.5  # times the texture's own detail, which lacks some of the skin's: the strongest is the decoder's to draw
)
_SIDEWAYS = 0.15, 0.45  # skin turned away so far is not known well enough; from the second value on it is


@dataclass(frozen=True)
class Texture:
    """A `Skin` on a device, at several sizes, each half of the one before."""

    levels: tuple[Float[Tensor, "_ _ 2"], ...]
    """Detail, and how far it is known. Channels come last, as OpenCV wants them."""
    side: float
    """Pixels of the crop as fine as the first level."""

    @classmethod
    def of(cls, skin: Skin, device: torch.device) -> Texture:
        """To be laid on faces."""
        planes = [np.dstack([skin.detail, skin.known])]
        for _ in range(1, _LEVELS):
            height, width = planes[-1].shape[:2]
            planes.append(cv2.resize(planes[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
        return cls(tuple(torch.from_numpy(plane).to(device) for plane in planes), skin.side)

    def level(self, side: float) -> Float[Tensor, "_ _ 2"]:
        """The one that suits a face whose crop has `side` px in the video: a finer one would flicker."""
        halvings = round(math.log2(max(self.side / side, 1)))
        return self.levels[min(halvings, _LEVELS - 1)]


@dataclass(frozen=True)
class SkinOnFace:
    """Whose skin it is, and where its parts come to lie on a face: see `faces.skin.skin_field`."""

    texture: Texture
    field: Float[Tensor, "3 grid grid"]


def laid_out(textures: Sequence[Float[Tensor, "_ _ 2"]], fields: Fields) -> tuple[Planes, Planes]:
    """Each face's detail, as `fields` say where on the texture its pixels lie; and how far it is known, 0..1."""
    lay = _laid_by_opencv if fields.device.type == "cpu" else _laid
    planes = torch.stack([lay(texture, field[:2]) for texture, field in zip(textures, fields, strict=True)])

    low, high = _SIDEWAYS
    seen = ((fields[:, 2:] - low) / (high - low)).clamp(0, 1)
    return planes[:, :1], planes[:, 1:].clamp(0, 1) * seen


def texture_of(faces: Pictures, detail: Planes, known: Planes) -> Planes:
    """What their skin's detail adds to faces (0..255), as far as it is known."""
    return luminance(faces) * detail * known


def texture_amounts(strips: Iterable[tuple[Planes, Planes, Planes, Planes]]) -> Float[Tensor, " faces"]:
    """How much of their `texture` faces get: as much as they have less fine detail than the pictures that they are
    pasted on. Blurred or compressed footage gets less of it.

    Faces come in `strips`, some rows of each, one strip or several: the fine detail of the faces, of the pictures below
    and of the texture, and the weights (0..1) with which it is looked at.
    """
    sums = [
        torch.stack([weight, *(weight * plane**2 for plane in (fine, below, texture))]).sum(dim=(2, 3, 4))
        for fine, below, texture, weight in strips
    ]
    total, *energies = torch.stack(sums).sum(dim=0)
    had, wanted, offered = (energy / total.clamp_min(1e-6) for energy in energies)
    amounts: Tensor = ((wanted - had).clamp_min(0) / offered.clamp_min(1e-6)).sqrt().clamp(max=_STRONGEST)
    return amounts


def _laid(texture: Float[Tensor, "_ _ 2"], way: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 h w"]:
    where = 2 * way.permute(1, 2, 0)[None] - 1
    planes = texture.permute(2, 0, 1)[None]
    return functional.grid_sample(planes, where, mode="bicubic", padding_mode="zeros", align_corners=False)[0]


def _laid_by_opencv(texture: Float[Tensor, "_ _ 2"], way: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 h w"]:
    """The same, on a processor."""
    height, width = texture.shape[:2]
    x, y = (way * way.new_tensor([width, height])[:, None, None] - 0.5).numpy()
    laid = cv2.remap(texture.numpy(), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    return torch.from_numpy(laid).permute(2, 0, 1)
