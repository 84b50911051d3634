"""Decoding one person's faces as another person, and measuring what is needed to fit them into the picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.errors import ModelError
from faceswap.faces.irises import EYES, EyeOutline, IrisFinder, nearer_eye
from faceswap.faces.landmarks import pose
from faceswap.faces.masks import eye_mask, face_mask, feature_mask
from faceswap.faces.occlusion import SIDE as OCCLUSION_SIDE
from faceswap.faces.occlusion import OcclusionFinder
from faceswap.faces.skin import Skin, familiarity, skin_field
from faceswap.geometry import Similarity
from faceswap.model.swap_model import SwapModel
from faceswap.swapping.color import Palette, palette, to_lab
from faceswap.swapping.drawing import Drawn, draw
from faceswap.swapping.example_detail import LEAST_SIDE, ExampleDetail
from faceswap.swapping.eyes import Gaze, closing, lacking
from faceswap.swapping.texture import SkinOnFace, Texture
from faceswap.types import AlignedFace, Face, Frame, MeshPoints, Picture

_LEAST_LOOKING = 128  # px, of a decoded face whose eyes are looked for


@dataclass(frozen=True, kw_only=True)
class Swap:
    """What a decoder made of one aligned face. Tensors lie on the model's device, float32, colours are RGB in 0..1."""

    picture: Float[Tensor, "3 large large"]
    """As the detail stage has drawn it, or the decoder, if the face is not larger in the video."""
    coarse: Float[Tensor, "3 size size"]
    """As the decoder has drawn it: what colours and light are compared on."""
    original: Float[Tensor, "3 size size"]
    """The face that it replaces."""
    mask: Float[Tensor, "large large"]
    """How much of each pixel to paste, 0..1."""
    eyes: Float[Tensor, "size size"]
    """Which pixels are eyes, 0..1: they keep their own colour."""
    colours: Palette
    """Of the skin."""
    tone: tuple[float, float, float]
    """The original's mean colour under the mask, in CIE Lab."""
    to_crop: Similarity
    """From the frame's pixels to the pixels of `picture`."""
    track: int
    """See `Face.track`."""
    opacity: float = 1.0
    """Less where the face has just been found or will be lost soon."""
    visible: Float[Tensor, "side side"] | None = None
    """Where the face is seen and where something lies in front of it, 1 and 0, in a crop of `occlusion.SIDE` px; None
    if nobody looked."""
    skin: SkinOnFace | None = None
    """The new person's own; None if it is not known."""
    gaze: Gaze | None = None
    """Where the eyes in `picture` look, and where they should; None if nobody looked, or if they are too small."""
    noise: float = 0.0
    """Of the video round the face: see `detail.noise_level`."""


@dataclass(frozen=True)
class FrameSwaps:
    """A frame, and what was decoded for its faces."""

    frame: Frame
    swaps: Sequence[Swap]
    turned: int = 0
    """Of the faces that were to be swapped, how many are turned so far that their swap was faded, or left out."""


class Swapper:
    """Turns aligned faces into faces of somebody else, a batch at a time, on the model's device."""

    def __init__(
        self,
        model: SwapModel,
        skins: Mapping[str, Skin] | None = None,
        examples: Mapping[str, Sequence[Picture]] | None = None,
    ) -> None:
        """`skins` and `examples` by person; who has none gets what the decoder draws."""
        self._model = model
        self._device = next(model.parameters()).device
        self._skins = skins or {}
        self._textures = {person: Texture.of(skin, self._device) for person, skin in self._skins.items()}
        self._examples = examples or {}
        self._detail: dict[str, ExampleDetail] = {}
        self.persons = model.config.persons
        self.size = model.config.size
        """Side in pixels of the crops that it takes."""

    # Networks that not every swap needs are loaded when they are first asked for.

    @cached_property
    def _occlusion(self) -> OcclusionFinder:
        return OcclusionFinder(self._device)

    @cached_property
    def _irises(self) -> IrisFinder:
        return IrisFinder(self._device)

    def check(self, person: str) -> None:
        """Raises ModelError if the model does not know `person`."""
        if person not in self.persons:
            raise ModelError(f"the model knows no person '{person}'", f"Choose one of: {', '.join(self.persons)}")

    def familiarity(self, face: Face, person: str) -> float:
        """How far `person` can be drawn with a head that is turned like this one, 0..1; 1 if that is not known."""
        skin = self._skins.get(person)
        return 1.0 if skin is None else familiarity(skin, pose(face.points).yaw)

    @torch.inference_mode()
    def swap(
        self,
        faces: Sequence[tuple[AlignedFace, str]],
        close_ups: Sequence[Picture] = (),
        *,
        features: float = 0.0,
        occlusion: bool = False,
        gaze: bool = False,
    ) -> list[Swap]:
        """Each face decoded as the person beside it; crops have to be `size` px. Eyes, brows and mouth get as much of
        the persons' examples as `features` says, 0..1.

        In `close_ups`, the same crops of `occlusion.SIDE` px, it is looked for what lies in front of the faces
        (`occlusion`) and where they look (`gaze`).
        """
        if not faces:
            return []
        aligned = [face for face, _ in faces]
        originals = self._upload(np.stack([face.image for face in aligned])).permute(0, 3, 1, 2)
        decoded = self._decode(originals, faces, features)

        # Pasted is only what is face in both pictures: beyond the target's own outline lie hair and background.
        masks = [
            torch.minimum(one.mask, self._upload(face_mask(face.points_at(one.side), one.side)))
            for one, face in zip(decoded, aligned, strict=True)
        ]

        # What lies in front of a face is not its skin.
        visible = self._occlusion.visible(close_ups) if occlusion else None

        # Where both look.
        gazes = self._gazes(decoded, aligned, close_ups) if gaze else [None] * len(aligned)

        # What is to be compared of the old face and the new one, at the small size: their skin.
        coarse = torch.stack([one.coarse for one in decoded])
        small = torch.stack([functional.adaptive_avg_pool2d(mask[None], self.size)[0] for mask in masks])
        looked_at, eyes = (
            self._upload(np.stack([draw(face.crop_points, self.size) for face in aligned]))
            for draw in (feature_mask, eye_mask)
        )
        skin = small * (1 - looked_at)
        if visible is not None:
            skin = skin * functional.interpolate(visible[:, None], size=self.size, mode="area")[:, 0]
        colours = palette(coarse, originals, skin)
        weights = colours.weights[..., None]
        tones = to_lab((weights * colours.theirs).sum(dim=1) / weights.sum(dim=1).clamp_min(1e-6))

        return [
            Swap(
                picture=one.picture,
                coarse=one.coarse,
                original=originals[i],
                mask=masks[i],
                eyes=eyes[i],
                colours=Palette(colours.ours[i], colours.theirs[i], colours.weights[i]),
                tone=(tone[0], tone[1], tone[2]),
                to_crop=face.to_crop.then(Similarity.resize(one.side / self.size)),
                track=face.face.track,
                visible=None if visible is None else visible[i],
                skin=self._skin(*faces[i]),
                gaze=gazes[i],
            )
            for i, (one, face, tone) in enumerate(zip(decoded, aligned, tones.tolist(), strict=True))
        ]

    def _skin(self, face: AlignedFace, person: str) -> SkinOnFace | None:
        if person not in self._textures:
            return None
        field = torch.from_numpy(skin_field(face.crop_points, self.size)).to(self._device)
        return SkinOnFace(self._textures[person], field)

    def _gazes(
        self, decoded: Sequence[Drawn], faces: Sequence[AlignedFace], close_ups: Sequence[Picture]
    ) -> list[Gaze | None]:
        """Where eyes that are large enough look, and how far they are open: the drawn ones and the video's."""
        large = [number for number, one in enumerate(decoded) if one.side >= _LEAST_LOOKING]

        seen: list[tuple[Picture, MeshPoints, EyeOutline]] = []
        for number in large:
            face, side = faces[number], decoded[number].side
            pictures = (self._download(decoded[number].picture), side), (close_ups[number], OCCLUSION_SIDE)
            seen += [(picture, face.points_at(of), outline) for picture, of in pictures for outline in EYES]
        eyes = iter(self._irises.locate(seen))

        gazes: list[Gaze | None] = [None] * len(decoded)
        for number in large:
            drawn, filmed = (next(eyes), next(eyes)), (next(eyes), next(eyes))
            # Both eyes look one way: it is read from the one that shows more.
            nearer = nearer_eye(faces[number].crop_points)
            gazes[number] = Gaze(
                drawn=drawn,
                lacking=lacking(drawn[nearer], filmed[nearer]),
                closing=(closing(drawn[0], filmed[0]), closing(drawn[1], filmed[1])),
            )
        return gazes

    def _decode(self, originals: Tensor, faces: Sequence[tuple[AlignedFace, str]], features: float) -> list[Drawn]:
        """Each face by its own person's decoder, as large as it is worth."""
        latent = self._model.encode(originals)
        groups: dict[tuple[str, int], list[int]] = defaultdict(list)
        for number, (face, person) in enumerate(faces):
            groups[person, self._side_for(face)].append(number)

        made: dict[int, Drawn] = {}
        for (person, side), numbers in groups.items():
            chosen = latent[torch.tensor(numbers, device=self._device)]
            made |= zip(numbers, draw(self._model, chosen, person, side), strict=True)

        if features > 0:
            made = {number: self._detailed(one, *faces[number], features) for number, one in made.items()}
        return [made[number] for number in range(len(faces))]

    def _detailed(self, drawn: Drawn, face: AlignedFace, person: str, features: float) -> Drawn:
        if person not in self._examples or drawn.side < LEAST_SIDE:
            return drawn
        if person not in self._detail:
            self._detail[person] = ExampleDetail(self._model, person, self._examples[person])
        return self._detail[person].added_to(drawn, face, features)

    def _side_for(self, face: AlignedFace) -> int:
        """The least side of a picture that shows all that the video can of this face: `size` times a power of two."""
        wanted, side = self.size / face.to_crop.scale, self.size
        while side < min(wanted, self._model.config.output_size):
            side *= 2
        return side

    def _download(self, picture: Float[Tensor, "3 side side"]) -> Picture:
        whole = (picture.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(whole.cpu().numpy())

    def _upload(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device).float() / 255
