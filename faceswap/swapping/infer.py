"""Decoding one person's faces as another person, and measuring what is needed to fit them into the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from faceswap.errors import ModelError
from faceswap.faces.masks import face_mask
from faceswap.geometry import Similarity
from faceswap.model.swap_model import SwapModel
from faceswap.swapping.color import Palette, palette, to_lab
from faceswap.swapping.detail import sharpness
from faceswap.types import AlignedFace


@dataclass(frozen=True)
class Swap:
    """What a decoder made of one aligned face. Tensors lie on the model's device, float32, colours are RGB in 0..1."""

    picture: Float[Tensor, "3 size size"]
    """As decoded."""
    original: Float[Tensor, "3 size size"]
    """The face that it replaces."""
    mask: Float[Tensor, "size size"]
    """How much of each pixel to paste, 0..1."""
    colours: Palette
    sharpness: Float[Tensor, 2]
    """Of `picture` and of `original`: see `detail.sharpness`."""
    tone: tuple[float, float, float]
    """The original's mean colour under the mask, in CIE Lab."""
    to_crop: Similarity
    """From the frame's pixels to the pixels of `picture`."""
    track: int
    """See `Face.track`."""
    opacity: float = 1.0
    """Less where the face has just been found or will be lost soon."""
    noise: float = 0.0
    """Of the video round the face: see `detail.noise_level`."""


class Swapper:
    """Turns aligned faces into faces of somebody else, a batch at a time, on the model's device."""

    def __init__(self, model: SwapModel) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        self.persons = model.config.persons
        self.size = model.config.size
        """Side in pixels of the crops that it takes."""

    def check(self, person: str) -> None:
        """Raises ModelError if the model does not know `person`."""
        if person not in self.persons:
            raise ModelError(f"the model knows no person '{person}'", f"Choose one of: {', '.join(self.persons)}")

    @torch.inference_mode()
    def swap(self, faces: Sequence[tuple[AlignedFace, str]]) -> list[Swap]:
        """Each face decoded as the person beside it; crops have to be `size` px."""
        if not faces:
            return []
        originals = self._upload(np.stack([face.image for face, _ in faces])).permute(0, 3, 1, 2)
        pictures, masks = self._decode(originals, [person for _, person in faces])
        # Pasted is only what is face in both pictures: beyond the target's own outline lie hair and background.
        outlines = self._upload(np.stack([face_mask(face.crop_points, self.size) for face, _ in faces]))
        masks = torch.minimum(masks, outlines)
        colours = palette(pictures, originals, masks)
        fine = torch.stack([sharpness(pictures, masks), sharpness(originals, masks)], dim=1)
        weights = colours.weights[..., None]
        tones = to_lab((weights * colours.theirs).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-6))
        return [
            Swap(
                pictures[i],
                originals[i],
                masks[i],
                Palette(colours.ours[i], colours.theirs[i], colours.weights[i]),
                fine[i],
                (tone[0], tone[1], tone[2]),
                face.to_crop,
                face.face.track,
            )
            for i, ((face, _), tone) in enumerate(zip(faces, tones.tolist(), strict=True))
        ]

    def _decode(self, originals: Tensor, persons: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Pictures and masks, each face by its own person's decoder."""
        latent = self._model.encode(originals)
        pictures, masks = torch.empty_like(originals), torch.empty_like(originals[:, 0])
        for person in sorted(set(persons)):
            chosen = torch.tensor([i for i, other in enumerate(persons) if other == person], device=self._device)
            decoded = self._model.decode(latent[chosen], person)
            pictures[chosen], masks[chosen] = decoded.picture, decoded.mask[:, 0]
        return pictures, masks

    def _upload(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device).float() / 255
