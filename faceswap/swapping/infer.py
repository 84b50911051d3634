"""Decoding one person's faces as another person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from faceswap.errors import ModelError
from faceswap.faces.masks import face_mask
from faceswap.model.swap_model import SwapModel
from faceswap.swapping.color import match_color
from faceswap.types import AlignedFace, Swap


class Swapper:
    """Turns aligned faces into faces of `person`, a batch at a time, on the model's device.

    Raises ModelError if the model does not know `person`.
    """

    def __init__(self, model: SwapModel, person: str) -> None:
        if person not in model.config.persons:
            known = ", ".join(model.config.persons)
            raise ModelError(f"the model knows no person '{person}'", f"Choose one of: {known}")
        self._model, self._person = model, person
        self.size = model.config.size
        """Side in pixels of the crops that it takes."""

    @torch.inference_mode()
    def swap(self, faces: Sequence[AlignedFace]) -> list[Swap]:
        """The swapped faces, in the light and colours of the ones they replace; crops have to be `size` px."""
        if not faces:
            return []
        device = next(self._model.parameters()).device
        pictures = torch.from_numpy(np.stack([face.image for face in faces])).to(device)
        pictures = pictures.permute(0, 3, 1, 2).to(memory_format=torch.channels_last).float() / 255
        decoded = self._model.decode(self._model.encode(pictures), self._person)
        both = torch.cat([decoded.picture, decoded.mask], dim=1).permute(0, 2, 3, 1)
        made = (both * 255).round().to(torch.uint8).cpu().numpy()
        return [self._finish(face, values) for face, values in zip(faces, made, strict=True)]

    def _finish(self, face: AlignedFace, values: np.ndarray) -> Swap:
        # Pasted is only what is face in both pictures: beyond the target's own outline lie hair and background.
        own = face_mask(face.crop_points, self.size)
        mask = np.minimum(values[..., 3], own)
        return Swap(match_color(values[..., :3], face.image, mask), mask, face.to_crop)
