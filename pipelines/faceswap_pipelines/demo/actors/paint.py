"""The paint that stays on the skin: complexion, folds, brows, beard and hair, once per actor over the head's grid."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import Map, blend, blurred, bump, colour, noise, ridge, smoothstep
from .head import HeadShape
from .looks import Actor


def paint_head(shape: HeadShape, rng: np.random.Generator) -> Map:
    """Colour (RGB, 0..1) and hair (0..1) of the resting head: texels x texels x 4. Eyes and mouth come per frame."""
    actor, n = shape.actor, shape.grid.texels
    x, y, z = shape.place[..., 0], shape.place[..., 1], shape.z

    coarse, middle, fine = (noise(rng, n, cells) for cells in (21, 102, 394))
    grain = 1 + 0.014 * coarse + 0.008 * middle + 0.009 * fine
    paint = (colour(actor.skin) * grain[..., None]).astype(np.float32)

    _flush(paint, actor, x, y)
    _folds(paint, actor, x, y, z, waver=coarse)
    _brows(paint, actor, x, y, z, ragged=fine)
    _beard(paint, actor, x, y, hair=shape.hair, middle=middle, fine=fine)
    _hair(paint, actor, x, y, z, hair=shape.hair, rng=rng)

    return np.dstack([np.clip(paint, 0, 1), shape.hair]).astype(np.float32)


def _flush(paint: Map, a: Actor, x: Map, y: Map) -> None:
    """Red in the cheeks and the nose, gold on the forehead."""
    red = bump(np.abs(x), y, (0.38, 0.30), (0.17, 0.13)) + 0.7 * bump(x, y, (0, a.nose_length), (0.10, 0.07))
    blend(paint, colour(a.skin) * [1.0, 0.76, 0.73], a.blush * red)
    blend(paint, colour(a.skin) * [1.03, 1.02, 0.94], 0.5 * bump(x, y, (0, -0.36), (0.32, 0.16)))


def _folds(paint: Map, a: Actor, x: Map, y: Map, z: Map, *, waver: Map) -> None:
    """Places that light reaches little: sockets, the nose's sides and underside, folds, under the lip and the jaw."""
    side, tip, wing = np.abs(x), a.nose_length, a.nose_width
    fold = ridge(side - (wing * 1.6 + (y - tip) * 0.52), 0.024) * smoothstep(tip - 0.02, tip + 0.08, y)
    brow_lines = ridge(y + 0.42 + 0.02 * waver, 0.012) + ridge(y + 0.50 + 0.02 * waver, 0.010)

    shade = (
        0.38 * bump(side, y, (a.eye_x - 0.10, -0.065), (0.09, 0.05))
        + 0.22 * bump(side, y, (a.eye_x, -0.04), (0.17, 0.10))
        + (0.08 + 0.3 * a.lines) * bump(side, y, (a.eye_x - 0.02, 0.12), (0.11, 0.035))
        + 0.40 * bump(side, y, (wing * 1.75, tip + 0.01), (0.035, 0.06))
        + 0.50 * bump(x, y, (0, tip + 0.105), (0.10, 0.028))
        + 0.16 * bump(side, y, (0.10, 0.10), (0.05, 0.12))
        + (0.04 + 0.45 * a.lines) * fold * smoothstep(0.68, 0.55, y)
        + 0.24 * bump(x, y, (0, 0.785), (0.13, 0.035))
        + 0.08 * bump(x, y, (0, 0.50), (0.02, 0.05))
        + 0.40 * smoothstep(0.30, -0.15, z) * smoothstep(0.45, 0.95, y)
        + 0.35 * max(0.0, a.lines - 0.15) * brow_lines * smoothstep(0.4, 0.25, side)
    )

    blend(paint, colour(a.skin) * [0.64, 0.50, 0.46], np.clip(shade, 0, 0.85))

    nostrils = np.clip(1.5 * bump(side, y, (wing * 0.60, tip + 0.075), (0.034, 0.017)), 0, 1)
    blend(paint, colour(a.skin) * [0.24, 0.15, 0.13], 0.9 * nostrils)


def _brows(paint: Map, a: Actor, x: Map, y: Map, z: Map, *, ragged: Map) -> None:
    """Thick at the nose, tapering outwards over the arch."""
    along = (np.abs(x) - a.eye_x) / (a.eye_width * 1.25)
    middle = a.brow_y - a.brow_arch * (0.6 - 0.8 * along**2) + 0.02 * along
    half = a.brow * (1.08 - 0.55 * smoothstep(-0.2, 1.1, along))
    mask = smoothstep(1.3, 0.5, np.abs(y - middle) / half + 0.08 * ragged) * smoothstep(1.12, 0.9, np.abs(along))
    blend(paint, colour(a.hair) * 0.72, 0.86 * mask * (z > 0))


def _beard(paint: Map, a: Actor, x: Map, y: Map, *, hair: Map, middle: Map, fine: Map) -> None:
    """Moustache, chin, jaw and whiskers up to the hair; thin beards are only a shadow on the skin."""
    side = np.abs(x)
    low = smoothstep(
        0.44, 0.58, y + 0.55 * np.maximum(side - 0.30, 0) - 0.10 * bump(x, y, (0, 0.48), (0.2, 0.08)) + 0.010 * middle
    )
    whiskers = smoothstep(0.50, 0.57, side) * smoothstep(0.05, 0.25, y)
    where = np.maximum(low, whiskers) * (1 - hair) * (1 - 0.5 * bump(x, y, (0, 0.80), (0.06, 0.04)))

    tint = colour(a.hair) * (0.7 + 0.3 * min(1.0, 2 * a.beard))
    strands = (1 + 0.13 * fine + 0.07 * middle)[..., None]
    blend(paint, tint * strands, a.beard * where * np.clip(0.88 + 0.12 * fine, 0, 1))


def _hair(paint: Map, a: Actor, x: Map, y: Map, z: Map, *, hair: Map, rng: np.random.Generator) -> None:
    """Strands that run outwards from a point under the parting, on the forehead, where no hair shows it."""
    parting = 0.22 * float(np.sign(a.sweep))
    angle = 200 + 50 * np.arctan2(x - parting, -(y + 0.28))

    threads = blurred(rng.standard_normal((400, 400)).astype(np.float32), 1.0)
    threads = cv2.GaussianBlur(threads, (0, 0), sigmaX=0.6, sigmaY=16)
    strand = cv2.remap(threads, angle.astype(np.float32), (200 + 70 * z).astype(np.float32), cv2.INTER_LINEAR)
    strand = strand / threads.std()

    locks = noise(rng, hair.shape[0], 40)
    tone = 1 + 0.11 * strand + 0.04 * locks
    blend(paint, np.clip(colour(a.hair) * tone[..., None], 0, 1), hair)
