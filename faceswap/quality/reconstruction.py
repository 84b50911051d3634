"""How well a model gives faces back, and what it makes of them as another person: aligned crops, large and small.

Faces are those that training reads (`faceswap.training.bank.FacePlanes`): R, G, B and the face mask are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise, permutations

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.faces.identity import Identifier, distance, typical
from faceswap.faces.landmarks import FaceMesh, eye_opening, five_points, mouth_opening
from faceswap.model.swap_model import Rendered, SwapModel
from faceswap.quality.motion import correlation
from faceswap.training.bank import FacePlanes
from faceswap.training.losses import luminance, ssim_map
from faceswap.types import Embeddings, MeshPoints, Picture

Planes = Float[Tensor, "faces channels h w"]
Reduced = Float[Tensor, "faces channels size size"]
Masks = Float[Tensor, "faces 1 h w"]
Scores = Float[Tensor, " faces"]
Pairs = Float[Tensor, "faces 2"]
"""Of each face something of the rebuilt one, or of what both have in common, and something of the true one."""

COARSEST = 4
"""Cycles in a crop with which the first band of a spectrum begins; each band reaches to the double."""

_CHUNK = 16
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
_LARGE = 256  # px: the size at which meshes are looked for in crops
_BOX = (0.22 * _LARGE, 0.2 * _LARGE, 0.78 * _LARGE, 0.88 * _LARGE)  # about where a face lies in a crop

Located = list[tuple[Picture, MeshPoints]]
Colour = Float[np.ndarray, "3"]
"""CIE Lab, L 0..100."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """Of one person's faces, rebuilt: means over the faces."""

    face: float
    """Structural similarity (Wang et al., 2004) over the face mask, at the coarse size; 1 is a perfect copy."""
    crop: float
    """The same over the whole crop."""
    large: float
    """The same of the large picture's luminance, over the face mask."""
    psnr: float
    """Of the large picture over the face mask, in dB."""
    detail: float
    """Energy of what is finer than a 5 px mean in the large picture, rebuilt by true."""
    sharpness: float
    """Variance of the Laplacian in the large picture, over the face mask, rebuilt by true."""
    spectrum: dict[str, float]
    """Power of the large picture's luminance under the face mask, rebuilt by true, by band: "4-8" for 4 to 8 cycles in
    the crop's side, and so on in octaves."""
    overlap: float
    """Of the mask with the true one: intersection over union."""


@dataclass(frozen=True)
class FaceScores:
    """What `Reconstruction` is the mean of, face by face."""

    face: Scores
    crop: Scores
    large: Scores
    error: Scores
    """Mean squared error of the large picture over the face mask, of 0..1."""
    fine: Pairs
    laplacian: Pairs
    power: Float[Tensor, "faces 2 bands"]
    overlap: Pairs
    """Intersection and union, in pixels."""

    def mean(self, side: int) -> Reconstruction:
        """Of all faces; `side` is that of the large picture."""
        power = self.power.sum(dim=0)

        return Reconstruction(
            face=float(self.face.mean()),
            crop=float(self.crop.mean()),
            large=float(self.large.mean()),
            psnr=float(-10 * torch.log10(self.error.mean().clamp_min(1e-10))),
            detail=_ratio(self.fine),
            sharpness=_ratio(self.laplacian),
            spectrum=dict(zip(bands(side), (power[0] / power[1].clamp_min(1e-9)).tolist(), strict=True)),
            overlap=_ratio(self.overlap),
        )


@dataclass(frozen=True, kw_only=True)
class CropSwap:
    """Of one person's faces, decoded as another, at the coarse size and before they are pasted anywhere."""

    mouth: float
    """Correlation over the faces of how far the mouth is open, before and after, by the face mesh."""
    eyes: float
    """... and of how far the eyes are."""
    to_target: float
    """Mean distance from the typical identity of whom it should be; `identity.SAME_PERSON` is 0.55."""
    to_source: float
    """... and from that of whom it was."""
    colour: float
    """Distance of its mean colour inside the mask from that of whom it should be, in CIE Lab (delta E, 1976)."""


@torch.inference_mode()
def rebuild(model: SwapModel, faces: FacePlanes, person: str) -> FaceScores:
    """How well each of a person's faces comes back; `faces` have the size of the model's large picture or another."""
    device = next(model.parameters()).device
    parts = [_scores(*_rendered(model, some.to(device), person)) for some in torch.split(faces, _CHUNK)]
    names = FaceScores.__dataclass_fields__
    return FaceScores(**{name: torch.cat([getattr(part, name) for part in parts]).cpu() for name in names})


def _rendered(model: SwapModel, faces: FacePlanes, person: str) -> tuple[Rendered, Planes, Reduced]:
    """What the model makes of faces, and these themselves with their masks, 0..1: large and reduced."""
    large, size = model.config.output_size, model.config.size
    true = functional.interpolate(faces[:, :4].float() / 255, size=(large, large), mode="bilinear")
    small = functional.adaptive_avg_pool2d(true, size)
    return model.render(model.encode(small[:, :3]), person), true, small


def _scores(made: Rendered, true: Planes, small: Reduced) -> FaceScores:
    # The small picture: likeness, and the mask.
    likeness, mask = ssim_map(made.coarse.picture, small[:, :3]), small[:, 3:] > 0.5
    found = made.coarse.mask > 0.5
    overlap = torch.stack([(mask & found).sum((1, 2, 3)), (mask | found).sum((1, 2, 3))], dim=1)

    # The large one, inside the mask.
    inside = (true[:, 3:4] > 0.5).float()
    seen, wanted = luminance(made.fine.picture), luminance(true[:, :3])
    error = (made.fine.picture - true[:, :3]).square().mean(dim=1, keepdim=True)
    both = torch.cat([seen, wanted], dim=1)
    fine = both - functional.avg_pool2d(both, 5, 1, 2)
    edges = functional.conv2d(both, both.new_tensor(_LAPLACIAN).expand(2, 1, 3, 3), padding=1, groups=2)

    return FaceScores(
        face=_mean(likeness, mask.float()),
        crop=likeness.mean((1, 2, 3)),
        large=_mean(ssim_map(seen, wanted), inside),
        error=_mean(error, inside),
        fine=(fine.square() * inside).sum((2, 3)),
        laplacian=_variance(edges, inside),
        power=band_power(both, true[:, 3:4]),
        overlap=overlap.float(),
    )


def _mean(values: Masks, weight: Masks) -> Scores:
    """Of each face's pixels, where `weight` says how much one counts."""
    return (values * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-6)


def _variance(values: Planes, weight: Masks) -> Pairs:
    total = weight.sum((2, 3)).clamp_min(1e-6)
    mean = (values * weight).sum((2, 3)) / total
    return ((values - mean[..., None, None]).square() * weight).sum((2, 3)) / total


def _ratio(pairs: Pairs) -> float:
    own, of = pairs.sum(dim=0).tolist()
    return float(own / max(of, 1e-9))


def bands(side: int) -> list[str]:
    """The octaves of a spectrum of a picture of `side` px, in cycles in the side: "4-8", "8-16"..."""
    edges = [COARSEST]
    while edges[-1] * 2 <= side // 2:
        edges.append(edges[-1] * 2)
    return [f"{low}-{high}" for low, high in pairwise(edges)]


def band_power(pictures: Planes, masks: Masks) -> Float[Tensor, "faces channels bands"]:
    """The power of square grey pictures under soft masks in each of `bands`.

    The mean under the mask is taken away first, so that the mask's own outline adds nothing. The radial power
    spectrum, as in Durall et al., "Watch your up-convolution" (2020).
    """
    side = pictures.shape[-1]
    mean = (pictures * masks).sum((2, 3), keepdim=True) / masks.sum((2, 3), keepdim=True).clamp_min(1e-6)
    power = torch.fft.fft2((pictures - mean) * masks).abs().square()
    cycles = torch.fft.fftfreq(side, 1 / side, device=pictures.device)
    octave = torch.floor(torch.log2(torch.hypot(cycles[:, None], cycles[None]).clamp_min(1e-6) / COARSEST))
    return torch.stack([(power * (octave == band)).sum((2, 3)) for band in range(len(bands(side)))], dim=2)


@torch.inference_mode()
def crop_swaps(model: SwapModel, faces: Mapping[str, FacePlanes]) -> dict[tuple[str, str], CropSwap]:
    """By who is shown and whom they are decoded as. Of the coarse pictures."""
    device = next(model.parameters()).device
    mesh, identifier = FaceMesh(device), Identifier(device)

    # What is known of everybody as filmed.
    small = {
        person: functional.adaptive_avg_pool2d(theirs[:, :4].float().to(device) / 255, model.config.size)
        for person, theirs in faces.items()
    }
    true = {person: theirs[:, :3] for person, theirs in small.items()}
    colours = {person: _mean_colour(true[person], theirs[:, 3:]) for person, theirs in small.items()}
    seen = {person: _located(mesh, theirs) for person, theirs in true.items()}
    identities = {person: typical(_embeddings(identifier, located)) for person, located in seen.items()}

    # And of each as everybody else.
    measured = {}
    for source, target in permutations(faces, 2):
        decoded = model.decode(model.encode(true[source]), target)
        made = _located(mesh, decoded.picture)
        swapped = _embeddings(identifier, made)
        measured[source, target] = CropSwap(
            mouth=_correlation(mouth_opening, seen[source], made),
            eyes=_correlation(lambda points: sum(eye_opening(points)), seen[source], made),
            to_target=float(np.mean([distance(one, identities[target]) for one in swapped])),
            to_source=float(np.mean([distance(one, identities[source]) for one in swapped])),
            colour=float(np.linalg.norm(_mean_colour(decoded.picture, decoded.mask) - colours[target])),
        )
    return measured


def pictures_of(batch: Float[Tensor, "faces 3 h w"]) -> list[Picture]:
    """RGB uint8 pictures of a batch in 0..1."""
    return list((batch * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())


def _correlation(opening: Callable[[MeshPoints], float], before: Located, after: Located) -> float:
    seen, made = (np.array([opening(points) for _, points in located]) for located in (before, after))
    return correlation(seen, made)


def _mean_colour(faces: Planes, masks: Masks) -> Colour:
    """Mean CIE Lab colour inside the masks."""
    floats = [face.astype(np.float32) / 255 for face in pictures_of(faces)]
    lab = np.concatenate([cv2.cvtColor(face, cv2.COLOR_RGB2Lab) for face in floats])
    weight = masks[:, 0].reshape(-1, lab.shape[1], 1).cpu().numpy()
    total: Colour = (lab * weight).sum((0, 1))
    return np.asarray(total / weight.sum())


def _embeddings(identifier: Identifier, located: Located) -> Embeddings:
    return identifier.embed([(picture, five_points(points)) for picture, points in located])


def _located(mesh: FaceMesh, faces: Planes) -> Located:
    """Each face enlarged, with its mesh: looked for twice, the second time where the first one lay."""
    large = [
        cv2.resize(face, (_LARGE, _LARGE), interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)
        for face in pictures_of(faces)
    ]
    first = mesh.locate_each([(picture, _BOX) for picture in large])
    second = mesh.locate_each(list(zip(large, first, strict=True)))
    return [(picture, face.points) for picture, face in zip(large, second, strict=True)]
