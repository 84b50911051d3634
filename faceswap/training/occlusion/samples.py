"""Portraits over which things are pasted, as cameras would show them: what the network learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from faceswap.faces.occlusion import SIDE
from faceswap.training.occlusion.occluders import Draw, Image, Occluder, Plane, Pool

FacePlanes = UInt8[Tensor, "faces 5 side side"]

_BARE = 0.3  # share of the faces before which nothing lies
_TWO = 0.25  # of the others: share before which two things lie


@dataclass(frozen=True)
class Sample:
    """A face as the network sees it, and what it is to say."""

    picture: Image
    cover: Plane
    face: Plane
    """Which pixels are face or lie before it: only there anything is asked."""


def draw_sample(faces: FacePlanes, number: int, kinds: Mapping[str, Draw], rng: np.random.Generator) -> Sample:
    """Face `number` of `faces` (RGB and its mask, larger than `SIDE`), with some of `kinds` before it, or nothing."""
    picture, face = _framed(faces[number].numpy(), rng)
    pool = Pool([_unframed(faces[int(rng.integers(len(faces)))].numpy())], _skin_of(picture, face))

    cover = np.zeros((SIDE, SIDE), np.float32)
    names = list(kinds)
    count = 0 if not names or rng.random() < _BARE else 1 + int(rng.random() < _TWO)
    for _ in range(count):
        occluder = kinds[names[rng.integers(len(names))]](rng, SIDE, pool)
        picture, cover = _pasted(picture, cover, _moved(occluder, rng), rng)
    return Sample(_filmed(picture, rng), cover, face)


def batch_of(samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (batch 3 side side), covers and faces (batch side side), float32, 0..1."""
    pictures = torch.from_numpy(np.stack([sample.picture for sample in samples])).permute(0, 3, 1, 2)
    covers, faces = (torch.from_numpy(np.stack([getattr(s, name) for s in samples])) for name in ("cover", "face"))
    return pictures, covers, faces


def _framed(planes: UInt8[np.ndarray, "5 _ _"], rng: np.random.Generator) -> tuple[Image, Plane]:
    """A crop about as the program cuts it: a little turned, moved, near or far, perhaps mirrored."""
    side = planes.shape[1]
    zoom = SIDE * 1.5 / side * rng.uniform(0.9, 1.12)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-12, 12), zoom)
    matrix[:, 2] += SIDE / 2 - side / 2 + rng.uniform(-5, 5, 2)
    stacked = np.ascontiguousarray(planes[:4].transpose(1, 2, 0))
    seen = cv2.warpAffine(stacked, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        seen = seen[:, ::-1]
    seen = seen.astype(np.float32) / 255
    return np.ascontiguousarray(seen[..., :3]), np.ascontiguousarray(seen[..., 3])


def _unframed(planes: UInt8[np.ndarray, "5 _ _"]) -> Image:
    return np.ascontiguousarray(planes[:3].transpose(1, 2, 0)).astype(np.float32) / 255


def _skin_of(picture: Image, face: Plane) -> Float[np.ndarray, 3]:
    middle = slice(int(0.35 * SIDE), int(0.75 * SIDE))
    pixels = picture[middle, middle][face[middle, middle] > 0.5]
    return np.median(pixels, axis=0).astype(np.float64) if len(pixels) else np.full(3, 0.5)


def _moved(occluder: Occluder, rng: np.random.Generator) -> Occluder:
    """Smeared by its movement, or out of focus."""
    colour, cover = occluder.colour, occluder.cover
    if rng.random() < 0.35:
        length = int(rng.integers(2, 12))
        kernel = np.zeros((length, length), np.float32)
        turn = rng.uniform(0, np.pi)
        middle, reach = (length - 1) / 2, length / 2
        ends = [(round(middle + s * reach * np.cos(turn)), round(middle + s * reach * np.sin(turn))) for s in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0)
        kernel /= max(1.0, kernel.sum())
    else:
        taps = cv2.getGaussianKernel(5, rng.uniform(0.4, 1.2)).astype(np.float32)
        kernel = taps @ taps.T

    # Colours weighted by the cover, so that nothing bleeds in from where there is nothing.
    smeared = cv2.filter2D(cover, -1, kernel)
    weighted = cv2.filter2D(colour * cover[..., None], -1, kernel)
    return Occluder(weighted / np.maximum(smeared, 1e-3)[..., None], np.clip(smeared, 0, 1))


def _pasted(picture: Image, cover: Plane, occluder: Occluder, rng: np.random.Generator) -> tuple[Image, Plane]:
    """The occluder and its shadow over a picture; a shadow covers nothing."""
    shift = np.array([[1, 0, rng.uniform(-6, 6)], [0, 1, rng.uniform(-2, 8)]])
    shadow = cv2.warpAffine(occluder.cover, shift, (SIDE, SIDE))
    shadow = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(1.5, 6)) * rng.uniform(0, 0.6)
    shaded = picture * (1 - shadow[..., None])

    alpha = occluder.cover[..., None]
    pasted = shaded + alpha * (occluder.colour - shaded)
    return pasted.astype(np.float32), np.maximum(cover, occluder.cover)


def _filmed(picture: Image, rng: np.random.Generator) -> Image:
    """Another light, brighter here than there, another camera, another codec."""
    tint, gain, gamma = rng.normal(1, 0.07, 3), rng.lognormal(0, 0.2), rng.lognormal(0, 0.2)
    light = cv2.resize(rng.lognormal(0, rng.uniform(0, 0.35), (3, 3)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(np.clip(picture * tint * gain * light[..., None], 0, 1) ** gamma, 0, 1)
    if rng.random() < 0.5:
        small = int(rng.integers(40, SIDE))
        picture = cv2.resize(cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA), (SIDE, SIDE))
    picture = picture + rng.normal(0, rng.uniform(0, 0.03), picture.shape)
    eight = np.clip(picture * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(30, 90))
        eight = cv2.imdecode(cv2.imencode(".jpg", eight, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return eight.astype(np.float32) / 255
