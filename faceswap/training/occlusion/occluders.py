"""Things that lie in front of faces, drawn: hands, blobs, boards, sticks with a ball, strands; cups and captions.

Random shapes with random textures teach most of what there is to know; hands, whose skin is like the face's own, have
to be drawn as hands. Pictures are float32 RGB, 0..1; covers are float32, 0 (nothing) to 1 (covered).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

Image = Float[np.ndarray, "_ _ 3"]
Plane = Float[np.ndarray, "_ _"]
Place = Float[np.ndarray, "2"]
Points = Float[np.ndarray, "_ 2"]

_BITS = 4  # of the corners' coordinates, for OpenCV


@dataclass(frozen=True)
class Occluder:
    """Something drawn, on nothing."""

    colour: Image
    cover: Plane


@dataclass(frozen=True)
class Pool:
    """What textures are cut from, and the skin of the face that is to be covered."""

    pictures: Sequence[Image]
    skin: Float[np.ndarray, 3]


Draw = Callable[[np.random.Generator, int, Pool], Occluder]


def hand(rng: np.random.Generator, side: int, pool: Pool) -> Occluder:
    """A palm with some fingers, bent at their joints, each with its own shade; skin like the face's, or another's."""
    return _hand(rng, side, pool, stretched=rng.uniform(0.8, 1.0))


def fist(rng: np.random.Generator, side: int, pool: Pool) -> Occluder:
    """The same with its fingers drawn in."""
    return _hand(rng, side, pool, stretched=rng.uniform(0.15, 0.5))


def _hand(rng: np.random.Generator, side: int, pool: Pool, stretched: float) -> Occluder:
    length = side * rng.uniform(0.3, 0.95)  # of the palm
    turn = rng.uniform(0, 2 * np.pi)
    wrist = _beside(rng, side, turn, reach=length)
    palm = _capsule(side, wrist, wrist + 0.8 * length * _towards(turn), 0.42 * length, 0.46 * length)

    # Fingers spread from the knuckles.
    spread, bend = rng.uniform(0.05, 0.25), rng.uniform(-0.5, 0.5)
    bones = _Palm(wrist=wrist, length=length, turn=turn, spread=spread, bend=bend, stretched=stretched)
    fingers = [_finger(rng, side, bones, int(finger)) for finger in rng.permutation(5)[: rng.integers(2, 6)]]
    return _of_skin(rng, pool, [palm, *fingers], length)


def clenched(rng: np.random.Generator, side: int, pool: Pool) -> Occluder:
    """Hands before the mouth, seen from their knuckles: fingers side by side, bent twice, with a thumb across them."""
    length = side * rng.uniform(0.25, 0.6)  # of a fist, from the first to the last finger
    middle = side * np.array([rng.uniform(0.25, 0.75), rng.triangular(0.4, 0.8, 1.0)])
    across, down = (_towards(rng.uniform(-0.6, 0.6) + turn) for turn in (0.0, np.pi / 2))
    if rng.random() < 0.5:
        across = -across

    # An arm from below or beside, and the back of the hand.
    arm = _towards(rng.uniform(0.1, 0.9) * np.pi)
    back = _capsule(side, middle + 1.6 * length * arm, middle + 0.2 * length * arm, 0.32 * length, 0.45 * length)
    limbs = [back]

    # Fingers, from the knuckles down to the second joint, and from there back in.
    thick, bent = length * rng.uniform(0.12, 0.16), rng.uniform(0.3, 0.8) * length
    for finger in range(4):
        knuckle = middle + ((finger - 1.5) / 4 * across - rng.uniform(0.25, 0.4) * down) * length
        joint = knuckle + bent * down + rng.normal(0, 0.03, 2) * length
        limbs.append(_capsule(side, knuckle, joint, thick, thick * 0.95))
        if rng.random() < 0.7:
            limbs.append(_capsule(side, joint, joint - rng.uniform(0.2, 0.5) * bent * down, thick * 0.95, thick * 0.85))

    # A thumb.
    if rng.random() < 0.7:
        root = middle + (rng.choice([-0.6, 0.6]) * across + rng.uniform(-0.1, 0.4) * down) * length
        tip = middle + (rng.uniform(-0.2, 0.2) * across + rng.uniform(-0.1, 0.3) * down) * length
        limbs.append(_capsule(side, root, tip, thick * 1.2, thick))
    return _of_skin(rng, pool, limbs, length)


def _of_skin(rng: np.random.Generator, pool: Pool, limbs: Sequence[Plane], length: float) -> Occluder:
    """Limbs of which each lies on the ones before, as heights; `length` is the hand's."""
    height, crease = limbs[0], np.zeros_like(limbs[0])
    for raised in limbs[1:]:  # those in front darken those behind along their edge
        edge = cv2.GaussianBlur((raised > 0).astype(np.float32), (0, 0), 1.0) * (raised == 0)
        crease = np.maximum(crease * (raised == 0), edge * (height > 0))
        height = np.where(raised > 0, raised + 0.2 * height, height)

    # Skin, as a rule the face's own.
    others = rng.uniform(0.2, 0.95) * np.array([1.0, rng.uniform(0.65, 0.9), rng.uniform(0.5, 0.85)])
    tone = pool.skin if rng.random() < 0.75 else others
    tone = np.clip(tone * rng.lognormal(0, 0.12) * rng.normal(1, 0.03, 3), 0.03, 1)
    shade = _lit(rng, height / length) * (1 - 0.6 * crease)
    grain = 1 + 0.05 * _smooth_noise(rng, len(height), int(rng.integers(4, 40)))
    return Occluder((tone * (shade * grain)[..., None]).astype(np.float32), (height > 0).astype(np.float32))


def blob(rng: np.random.Generator, side: int, pool: Pool) -> Occluder:
    """A closed curve without corners."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = side * rng.uniform(0.08, 0.35) * np.ones_like(angle)
    for wave in range(1, 6):
        radius *= 1 + rng.uniform(0, 0.35 / wave) * np.sin(wave * angle + rng.uniform(0, 2 * np.pi))
    stretch = rng.uniform(0.5, 1.8)
    outline = np.stack([radius * np.cos(angle) * stretch, radius * np.sin(angle)], axis=1)
    return _filled(rng, side, pool, outline @ _rotation(rng.uniform(0, np.pi)) + _place(rng, side))


def board(rng: np.random.Generator, side: int, pool: Pool) -> Occluder:
    """Something with corners: a phone, a book, a sign, a mask."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
    radius = side * rng.uniform(0.15, 0.55)
    outline = radius * np.stack([np.cos(angle) * rng.uniform(0.4, 1.4), np.sin(angle)], axis=1)
    return _filled(rng, side, pool, outline @ _rotation(rng.uniform(0, np.pi)) + _place(rng, side))


def stick(rng: np.random.Generator, side: int, pool: Pool) -> Occluder:
    """A long thing that comes in from beside, often with a ball at its end: pens, spoons, microphones."""
    turn = rng.uniform(0, 2 * np.pi)
    tip = _place(rng, side)
    thick = side * rng.uniform(0.015, 0.09)
    height = _capsule(side, tip - 1.5 * side * _towards(turn), tip, thick, thick * rng.uniform(0.7, 1.2))
    if rng.random() < 0.6:
        height = np.maximum(height, _capsule(side, tip, tip + 0.1, *(2 * [thick * rng.uniform(1.3, 3)])))
    colour = _texture(rng, side, pool) * _lit(rng, height / (4 * thick))[..., None]
    return Occluder(np.clip(colour, 0, 1).astype(np.float32), (height > 0).astype(np.float32))


def strands(rng: np.random.Generator, side: int, _pool: Pool) -> Occluder:
    """Hair that falls into the face: bundles of curved lines of one colour."""
    cover = np.zeros((side, side), np.float32)
    light = np.zeros((side, side), np.float32)

    # Bundles, each of many lines that run beside each other.
    for _ in range(rng.integers(1, 5)):
        start = np.array([rng.uniform(0, side), rng.uniform(-0.2, 0.25) * side])
        end = np.array([rng.uniform(0, side), rng.uniform(0.4, 1.0) * side])
        knee = (start + end) / 2 + rng.normal(0, 0.2, 2) * side
        for _ in range(rng.integers(6, 40)):
            jitter = rng.normal(0, 0.03, (3, 2)) * side
            curve = _bezier(start + jitter[0], knee + jitter[1], end + jitter[2])
            line = _polyline(side, curve, thick=1)
            light = np.where(line > 0.3, rng.uniform(0.5, 1.5), light)
            cover = np.maximum(cover, line)

    tone = np.array([0.35, 0.23, 0.14]) * rng.uniform(0.1, 2.2) * rng.normal(1, 0.1, 3)
    colour = np.clip(tone * light[..., None], 0, 1)
    return Occluder(colour.astype(np.float32), cv2.GaussianBlur(cover, (0, 0), 0.5))


def cup(rng: np.random.Generator, side: int, pool: Pool) -> Occluder:
    """Something round that stands before mouth and chin. Never trained on: it tells how good the network is."""
    width, tall = side * rng.uniform(0.2, 0.4), side * rng.uniform(0.3, 0.6)
    middle = np.array([side / 2, side * rng.uniform(0.65, 0.95)]) + rng.normal(0, 0.08, 2) * side
    narrow = rng.uniform(0.7, 1.0)
    corners = np.array([[-1, -1], [1, -1], [narrow, 1], [-narrow, 1]]) * [width / 2, tall / 2] + middle
    cover = _polygon(side, corners)

    # Round, so that it is darker at its sides; and open at the top.
    across = np.clip((np.arange(side) - middle[0]) / (width / 2), -1, 1)
    shade = np.sqrt(1 - 0.85 * across**2)[None, :] * np.ones((side, 1))
    colour = _texture(rng, side, pool) * shade[..., None]
    rim = cv2.ellipse(
        np.zeros((side, side), np.float32),
        (tuple((middle - [0, tall / 2]).tolist()), (width, width * 0.25), 0.0),
        1.0,
        -1,
        cv2.LINE_AA,
    )

    colour = colour * (1 - 0.4 * rim[..., None])
    return Occluder(np.clip(colour, 0, 1).astype(np.float32), np.maximum(cover, rim))


def caption(rng: np.random.Generator, side: int, _pool: Pool) -> Occluder:
    """Words in a bar, as television writes them. Never trained on."""
    cover = np.zeros((side, side), np.float32)
    top = int(rng.uniform(0.5, 0.8) * side)
    bottom = min(side, top + int(rng.uniform(0.12, 0.22) * side))
    cover[top:bottom] = 1
    colour = np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8)
    words = "".join(chr(rng.integers(65, 91)) for _ in range(12))
    place = (2, (top + bottom) // 2 + 4)
    ink = rng.integers(0, 256, 3).tolist()
    cv2.putText(colour, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, 1, cv2.LINE_AA)
    return Occluder(colour.astype(np.float32) / 255, cover)


TRAINED: Mapping[str, Draw] = {
    "hand": hand,
    "fist": fist,
    "clenched": clenched,
    "blob": blob,
    "board": board,
    "stick": stick,
    "strands": strands,
}
"""What is pasted while training."""
HELD_OUT: Mapping[str, Draw] = {"cup": cup, "caption": caption}
"""What is pasted to measure only."""


@dataclass(frozen=True, kw_only=True)
class _Palm:
    """Where a hand is and what it does; lengths in pixels, angles in radians."""

    wrist: Float[np.ndarray, 2]
    length: float
    turn: float
    spread: float
    bend: float
    stretched: float
    """1 for fingers stretched out, near 0 for a fist."""


def _finger(rng: np.random.Generator, side: int, palm: _Palm, finger: int) -> Plane:
    """How high a finger lies over the picture: three limbs, each turned a little more than the one before."""
    thumb = finger == 4
    along = palm.turn + (0.9 if thumb else palm.spread * (finger - 1.5) * 2)
    root = _towards(palm.turn + (0.5 if thumb else 0.22 * (finger - 1.5)))
    start = palm.wrist + palm.length * (0.45 if thumb else 0.95) * root
    thick = palm.length * (0.13 if thumb else 0.115) * rng.uniform(0.9, 1.1)
    reach = palm.length * palm.stretched * (0.9 if finger in (0, 3) else 1.0)

    height = np.zeros((side, side), np.float32)
    for limb, share in enumerate((0.42, 0.28, 0.22)):
        end = start + reach * share * _towards(along)
        slimmer = thick * (1 - 0.1 * limb)
        height = np.maximum(height, _capsule(side, start, end, slimmer, slimmer * 0.92))
        start, along = end, along + palm.bend * rng.uniform(0.2, 1.0)
    return height


def _capsule(side: int, start: Place, end: Place, first: float, last: float) -> Plane:
    """The height of a round limb over the picture, from radius `first` at its start to `last` at its end."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    axis = (end - start).astype(np.float32)
    along = np.clip(((x - start[0]) * axis[0] + (y - start[1]) * axis[1]) / max(1e-6, float(axis @ axis)), 0, 1)
    away = (x - start[0] - along * axis[0]) ** 2 + (y - start[1] - along * axis[1]) ** 2
    radius = first + (last - first) * along
    return np.asarray(np.sqrt(np.maximum(radius**2 - away, 0)), np.float32)


def _lit(rng: np.random.Generator, height: Plane) -> Plane:
    """How bright a surface of this height is, lit from somewhere; about 1."""
    smooth = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 1.0)
    turn, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 3.0)
    slope = np.cos(turn) * cv2.Sobel(smooth, cv2.CV_32F, 1, 0) + np.sin(turn) * cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(np.clip(1 + strength * slope, 0.35, 1.5), np.float32)


def _filled(rng: np.random.Generator, side: int, pool: Pool, outline: Points) -> Occluder:
    return Occluder(_texture(rng, side, pool), _polygon(side, outline))


def _texture(rng: np.random.Generator, side: int, pool: Pool) -> Image:
    """Anything: a plain colour, skin, a gradient, stripes, noise, or a piece of another picture."""
    tones = rng.uniform(0, 1, (2, 3))
    if rng.random() < 0.2:
        tones[0] = np.clip(pool.skin * rng.lognormal(0, 0.1), 0, 1)

    # Where it is of the one tone, where of the other.
    match rng.choice(["plain", "gradient", "stripes", "noise", "picture", "picture"]):
        case "plain":
            mix = np.zeros((side, side))
        case "gradient":
            mix = np.linspace(0, 1, side)[:, None] * np.ones((1, side))
        case "stripes":
            wave = np.sin(np.arange(side) * rng.uniform(0.2, 2.5))
            mix = np.tile((wave > rng.uniform(-0.5, 0.5)).astype(np.float64), (side, 1))
        case "noise":
            mix = np.clip(0.5 + 0.4 * _smooth_noise(rng, side, int(rng.integers(2, side // 2))), 0, 1)
        case _:
            return _piece(rng, side, pool)

    mixed = tones[0] + (tones[1] - tones[0]) * mix[..., None]
    return np.asarray(np.clip(mixed + rng.normal(0, rng.uniform(0, 0.04), mixed.shape), 0, 1), np.float32)


def _piece(rng: np.random.Generator, side: int, pool: Pool) -> Image:
    picture = pool.pictures[int(rng.integers(len(pool.pictures)))]
    size = int(rng.uniform(0.2, 0.9) * picture.shape[0])
    top, left = rng.integers(0, picture.shape[0] - size + 1, 2)
    piece = cv2.resize(picture[top : top + size, left : left + size], (side, side), interpolation=cv2.INTER_LINEAR)
    piece = np.rot90(piece, int(rng.integers(4)))
    return np.asarray(np.clip(piece * rng.uniform(0.6, 1.4, 3), 0, 1), np.float32)


def _smooth_noise(rng: np.random.Generator, side: int, cells: int) -> Plane:
    field = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)


def _polygon(side: int, outline: Points) -> Plane:
    plane = np.zeros((side, side), np.uint8)
    corners = np.round(outline * (1 << _BITS)).astype(np.int32)
    cv2.fillPoly(plane, [corners], 255, cv2.LINE_AA, _BITS)
    return plane.astype(np.float32) / 255


def _polyline(side: int, points: Points, thick: int) -> Plane:
    plane = np.zeros((side, side), np.uint8)
    cv2.polylines(plane, [np.round(points * (1 << _BITS)).astype(np.int32)], False, 255, thick, cv2.LINE_AA, _BITS)
    return plane.astype(np.float32) / 255


def _bezier(start: Place, knee: Place, end: Place) -> Points:
    t = np.linspace(0, 1, 16)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * knee + t**2 * end)


def _place(rng: np.random.Generator, side: int) -> Float[np.ndarray, 2]:
    """Somewhere on the face, more often below than above."""
    return side * np.array([rng.uniform(0.15, 0.85), rng.triangular(0.1, 0.7, 1.0)])


def _beside(rng: np.random.Generator, side: int, turn: float, reach: float) -> Float[np.ndarray, 2]:
    """Where a wrist is, if the fingers that point along `turn` are to reach the face."""
    return np.asarray(_place(rng, side) - reach * rng.uniform(0.8, 1.8) * _towards(turn))


def _towards(angle: float) -> Float[np.ndarray, 2]:
    return np.array([np.cos(angle), np.sin(angle)])


def _rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
