"""The invisible mark: a faint pattern in the brightness of every picture that this program makes.

A spread-spectrum mark (Cox, Kilian, Leighton and Shamoon, 1997): a sum of waves whose phases only look random. The
pattern repeats every `_TILE` pixels, is the same in all pictures, and is stronger where a picture has texture that
hides it. It says one thing, "made with this program", and can be found without the original.

Finding it asks how well the phases of a picture's waves agree with the pattern's, for every scale and shift that the
picture may have gone through. Only phases count, so that no content can look like the mark by being strong. With
phases theta of a picture and phi of the pattern, the score of one scale and shift is S = sum cos(theta - phi) over K
waves. Whatever the picture, for phi drawn at random P(S >= s) <= exp(-s^2 / K) (Hoeffding, since
E exp(t cos) = I0(t) <= exp(t^2 / 4)); times the number of scales and shifts that were tried, that bounds the chance of
taking a picture without the mark for one with it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np
from jaxtyping import Complex, Float, Int

from faceswap.streams import batched
from faceswap.types import Picture

_TILE = 128
"""Pixels after which the pattern repeats."""
_BAND = (5, 16)
"""Waves of the pattern in a tile: 26 to 8 pixels long. Shorter ones do not outlive a video's compression, longer ones
are seen."""
_FAINTEST, _STRONGEST = 0.5, 1.5
"""Standard deviation of the pattern in levels of 255, where a picture is flat and where it is full of texture."""
_PER_TEXTURE = 0.06
"""How much stronger it gets with each level of texture (the mean size of the Laplacian at half the size)."""

_SCALES = 0.45, 2.2
"""The smallest and the largest by which a picture may have been resized for the mark to be looked for."""
LARGEST = 1920
"""Pixels of a picture, from its middle, in each direction, that are searched: the mark is everywhere."""
_SCALES_AT_ONCE = 16
_CHANCE = 1e-6
"""Below this chance of a mistake a mark counts as found."""

Brightness = Float[np.ndarray, "height width"]


@dataclass(frozen=True)
class Mark:
    """What was found of the mark."""

    found: bool
    """Whether there is a mark, beyond reasonable doubt."""
    chance: float
    """At most this often would pictures without the mark look as if they had it: 0..1."""
    scale: float
    """By which they were resized since they were marked; means nothing where none was found."""


def watermarked(image: Picture) -> Picture:
    """The picture with the mark; in footage, the peak signal-to-noise ratio is 49 to 51 dB."""
    height, width = image.shape[:2]
    strength = cv2.resize(_strength(image), (width, height), interpolation=cv2.INTER_LINEAR)

    pattern, inverse = _pattern(width)
    result = np.empty_like(image)

    for top in range(0, height, _TILE):  # in strips that a processor's cache holds
        strip = slice(top, min(top + _TILE, height))
        rows = strip.stop - top
        # Two products that saturate at zero, added and subtracted, take half the time of one that has a sign.
        lighter = cv2.multiply(strength[strip], pattern[:rows], dtype=cv2.CV_8U)
        darker = cv2.multiply(strength[strip], inverse[:rows], dtype=cv2.CV_8U)
        lit = cv2.add(image[strip], cv2.cvtColor(lighter, cv2.COLOR_GRAY2RGB))
        cv2.subtract(lit, cv2.cvtColor(darker, cv2.COLOR_GRAY2RGB), dst=result[strip])

    return result


def detect_watermark(images: Iterable[Picture]) -> Mark:
    """Looks for the mark in pictures of one size that belong together, such as the frames of a video.

    Raises ValueError if there are none.
    """
    total: Brightness | None = None
    for image in images:
        detail = _detail(image)
        total = detail if total is None else total + detail
    if total is None:
        raise ValueError("no pictures to look at")

    waves, phases = _waves()
    scales = _scales(max(total.shape))

    best, scale = max(
        (_agreement(phasors, waves, phases), scale)
        for some in batched(scales, _SCALES_AT_ONCE)
        for phasors, scale in zip(_phasors(total, waves, some), some, strict=True)
    )
    chance = math.exp(min(0.0, math.log(len(scales) * _TILE**2) - best**2 / len(waves)))
    return Mark(chance < _CHANCE, chance, scale)


def _strength(image: Picture) -> Brightness:
    """How strong the mark may be, at an eighth of the size: by the texture there, and no more than beside an edge's
    flat side."""
    green = np.ascontiguousarray(image[::2, ::2, 1])  # most of the brightness, and the least work

    # Slopes have none, unlike a standard deviation: a mark on smooth skin would be seen.
    texture = cv2.convertScaleAbs(cv2.Laplacian(green, cv2.CV_16S))

    size = max(1, green.shape[1] // 4), max(1, green.shape[0] // 4)
    least = cv2.erode(cv2.resize(texture, size, interpolation=cv2.INTER_AREA), np.ones((3, 3), np.uint8))
    smooth = cv2.GaussianBlur(least.astype(np.float32), (0, 0), 1.0)

    strength: Brightness = np.clip(_FAINTEST + _PER_TEXTURE * smooth, _FAINTEST, _STRONGEST).astype(np.float32)
    return strength


@cache
def _waves() -> tuple[Int[np.ndarray, "K 2"], Float[np.ndarray, " K"]]:
    """The waves per tile to the right and down, of every pair of opposite ones the one; and their phases."""
    low, high = _BAND
    reach = range(-high, high + 1)
    waves = [(u, v) for v in reach for u in reach if (v, u) > (0, 0) and low**2 <= u * u + v * v <= high**2]
    # From a hash, not from a generator of random numbers: it has to be the same in all versions of all libraries.
    numbers = (hashlib.sha256(f"faceswap mark, wave {u} {v}".encode()).digest()[:8] for u, v in waves)
    phases = [int.from_bytes(number, "big") / 2**64 * 2 * math.pi for number in numbers]
    return np.array(waves), np.array(phases)


@lru_cache(maxsize=4)
def _pattern(width: int) -> tuple[Brightness, Brightness]:
    """A row of the pattern's tiles for pictures of this width, standard deviation 1, and its inverse."""
    waves, phases = _waves()
    y, x = np.mgrid[0:_TILE, 0:_TILE]
    tile = sum(np.cos(2 * np.pi * (u * x + v * y) / _TILE + phase) for (u, v), phase in zip(waves, phases, strict=True))
    tile = (tile / tile.std()).astype(np.float32)
    row = np.tile(tile, (1, -(-width // _TILE)))[:, :width]
    return row, -row


def _detail(image: Picture) -> Brightness:
    """The brightness without what changes slowly, its contrast evened out: strong edges would drown the mark."""
    height, width = image.shape[:2]
    top, left = max(0, height - LARGEST) // 2, max(0, width - LARGEST) // 2
    middle = np.ascontiguousarray(image[top : top + LARGEST, left : left + LARGEST])

    grey = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 4)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 8))

    even: Brightness = (detail / (contrast + 1)).astype(np.float32)
    return even


def _scales(side: int) -> list[float]:
    """Scales to try for a picture of this longer side, 1 among them: so dense that, at the picture's edges, the
    shortest waves of two neighbours are no more than half a wave apart."""
    step = min(0.012, _TILE / _BAND[1] / side)
    least, most = (round(math.log(scale) / step) for scale in _SCALES)
    return [math.exp(number * step) for number in range(least, most + 1)]


def _phasors(
    detail: Brightness, waves: Int[np.ndarray, "K 2"], scales: Sequence[float]
) -> Complex[np.ndarray, "scales K"]:
    """The phases of the pattern's waves, `scales` times as long, in the picture: numbers of absolute value 1."""
    height, width = detail.shape
    steps = -2j * np.pi / (_TILE * np.array(scales))
    rows = _powers(np.exp(np.outer(steps, np.arange(height))))
    right = _powers(np.exp(np.outer(steps, np.arange(width))))
    columns = np.concatenate([right[:, :0:-1].conj(), right], axis=1).astype(np.complex64)

    # The large product as two of real numbers: half the work of a complex one. All scales at once: a product with a
    # few rows takes as long as it takes to read the picture.
    real, imaginary = (
        (part.reshape(-1, height).astype(np.float32) @ detail).reshape(*rows.shape[:2], width)
        for part in (rows.real, rows.imag)
    )
    found = (real + 1j * imaginary) @ columns.transpose(0, 2, 1)

    here = found[:, waves[:, 1], waves[:, 0] + _BAND[1]]
    phasors: Complex[np.ndarray, "scales K"] = here / np.maximum(np.abs(here), 1e-12)
    return phasors


def _powers(numbers: Complex[np.ndarray, "scales n"]) -> Complex[np.ndarray, "scales powers n"]:
    """Each to the powers 0, 1, ... up to the most waves that a tile has."""
    powers = np.repeat(numbers[:, None], _BAND[1] + 1, axis=1)
    powers[:, 0] = 1
    return np.cumprod(powers, axis=1)


def _agreement(
    phasors: Complex[np.ndarray, " K"], waves: Int[np.ndarray, "K 2"], phases: Float[np.ndarray, " K"]
) -> float:
    """The sum over all waves of cos(theta - phi), for the shift with the largest: one Fourier transform tries all."""
    spectrum = np.zeros((_TILE, _TILE), np.complex64)
    spectrum[waves[:, 1], waves[:, 0]] = phasors * np.exp(-1j * phases)
    return float((np.fft.ifft2(spectrum) * _TILE**2).real.max())
