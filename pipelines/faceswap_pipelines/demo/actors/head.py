"""The head's shape, and where the rays of the camera meet it.

The surface is a radius over directions: a unit ball and a jaw, joined smoothly, with a dozen bumps on it, once each
axis is divided by the skull's. Directions are stored by stereographic coordinates (u, v) on a square grid: no seam, no
trigonometry. The blend shapes (rest, jaw dropped, cheeks raised) are channels of that map, so that one look-up gives
the radius in any expression.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .fields import Map, blurred, bump, noise, ridge, smoothstep
from .looks import Actor

EXTENT = 1.9
"""The grid covers u and v from -EXTENT to EXTENT; 1 is the head's outline from the front."""
MOUTH_Y = 0.635
JAW_SLIDE = 0.16
"""How far the open jaw carries the skin down over the grid, in v."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The directions at which the head's maps are sampled, and the resting place of the skin there."""

    texels: int
    u: Map
    v: Map
    direction: Map
    """texels x texels x 3: unit vectors."""

    @staticmethod
    def of(texels: int) -> Grid:
        """A grid of texels x texels."""
        side = np.linspace(-EXTENT, EXTENT, texels, dtype=np.float32)
        u, v = np.meshgrid(side, side)
        square = u * u + v * v
        return Grid(
            texels=texels, u=u, v=v, direction=np.stack([2 * u, 2 * v, 1 - square], -1) / (1 + square)[..., None]
        )

    def texel(self, u: Map, v: Map) -> tuple[Map, Map]:
        """Column and row of (u, v), fractional."""
        scale = np.float32((self.texels - 1) / (2 * EXTENT))
        return (u + np.float32(EXTENT)) * scale, (v + np.float32(EXTENT)) * scale


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Where the rays of a block of pixels meet the head; every field is a map over that block."""

    depth: Map
    """Towards the viewer, head units; where a ray misses, at the point that comes nearest."""
    cover: Map
    """0..1: the share of the pixel inside the head's outline."""
    facing: Map
    """z of the point in the head's frame, divided by the skull's axes: above 0 on the face's side."""
    column: Map
    row: Map
    """The texel of the head's maps."""


class HeadShape:
    """The solid head of one actor."""

    def __init__(self, actor: Actor, texels: int, rng: np.random.Generator) -> None:
        self.actor, self.grid = actor, Grid.of(texels)
        self.axes = np.array([actor.skull_width, 1.0, 0.86], np.float32)
        base = self._skull_and_jaw()

        x, y, z = (self.grid.direction[..., i] * base * self.axes[i] for i in range(3))
        self.hair = self._hair(x, y, z, rng)
        rest = base + _relief(actor, x, y) * smoothstep(-0.05, 0.25, z) + self._hair_volume(x, y, rng)

        self.drop = smoothstep(0.50, 1.0, y + 0.25 * np.abs(x)) * smoothstep(-0.1, 0.3, z)
        self.drop *= smoothstep(0.75, 0.15, np.abs(x))

        self.radius: Map = np.dstack([rest, self._jaw_dropped(rest, x, y), _cheeks_raised(x, y) * (z > 0)])
        self.radius = self.radius.astype(np.float32)
        self.place: Map = np.dstack([x, y, self.drop]).astype(np.float32)
        """x and y of the resting skin (head units) and how much of the jaw's drop it takes part in (0..1)."""
        self.z: Map = z

    def _skull_and_jaw(self) -> Map:
        """The unit ball joined to the jaw's ellipsoid by log-sum-exp, as radii along the grid's directions."""
        a, direction = self.actor, self.grid.direction
        size = np.array([a.jaw_width, a.jaw_height, 0.59]) / self.axes
        centre = np.array([0, 0.40, 0.24]) / self.axes / size

        squared = ((direction / size) ** 2).sum(-1)
        along = (direction / size * centre).sum(-1)
        inside = along * along - squared * ((centre**2).sum() - 1)
        jaw = np.where(inside > 0, (along + np.sqrt(np.maximum(inside, 0))) / squared, 0)

        sharpness = 24.0
        joined = np.log(np.exp(sharpness) + np.exp(sharpness * np.maximum(jaw, 0.5))) / sharpness
        # The blur takes away the ridge where the jaw's cap ends, which would run down from the mouth's corners.
        return blurred(joined.astype(np.float32), self.grid.texels / 128)

    def _hair(self, x: Map, y: Map, z: Map, rng: np.random.Generator) -> Map:
        """0..1: over the hairline, round the temples, down the sides."""
        a, n = self.actor, self.grid.texels
        ragged = 0.010 * noise(rng, n, 73)
        line = y - (a.hairline + 0.45 * x**2 + a.sweep * x) + ragged
        over = smoothstep(0.03, -0.03, line)

        # Side hair that runs low reads as a beard: short hair ends at the ear's middle.
        low = min(a.hair_length, 0.95) or 0.20
        side = smoothstep(0.47, 0.38, z + 0.3 * np.maximum(y, 0) + 0.008 * noise(rng, n, 57))
        side *= smoothstep(low, low - 0.2, y)

        return np.asarray(np.maximum(over, side).astype(np.float32))

    def _hair_volume(self, x: Map, y: Map, rng: np.random.Generator) -> Map:
        """How far the hair lifts the surface; more on top than at the sides, rising softly from the hairline."""
        lift = blurred(self.hair, self.grid.texels / 60) ** 1.5
        # Full beside the crown, or the head looks pointed.
        body = 0.60 + 0.20 * smoothstep(0.1, -0.7, y) + 0.55 * bump(np.abs(x), y, (0.52, -0.62), (0.28, 0.34))
        return np.asarray(self.actor.volume * lift * body * (1 + 0.08 * noise(rng, self.grid.texels, 13)))

    def _jaw_dropped(self, rest: Map, x: Map, y: Map) -> Map:
        """What the open jaw adds to the radius: the chin, slid down, with hollowed cheeks."""
        square = self.grid.u**2 + self.grid.v**2
        column, row = self.grid.texel(self.grid.u, self.grid.v - JAW_SLIDE * self.drop * (1 + square) / 2)
        slid = cv2.remap(rest.astype(np.float32), column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        change = blurred(slid - rest, self.grid.texels / 100)
        return np.asarray(change + 0.13 * self.drop - 0.02 * bump(np.abs(x), y, (0.36, 0.55), (0.1, 0.2)))

    def locate(self, x: float, y: float) -> npt.NDArray[np.float64]:
        """Column and row, fractional, of the skin that rests at (x, y) on the front of the head."""
        n = self.grid.texels
        front = slice(n // 5, n - n // 5, 4)
        distance = (self.place[front, front, 0] - x) ** 2 + (self.place[front, front, 1] - y) ** 2
        row, column = (n // 5 + 4 * int(i) for i in np.unravel_index(distance.argmin(), distance.shape))

        # From the nearest texel to the exact spot: one Newton step over the local slope of x and y.
        place = self.place[..., :2]
        across = (place[row, column + 2] - place[row, column - 2]) / 4
        down = (place[row + 2, column] - place[row - 2, column]) / 4
        step = np.linalg.solve(np.stack([across, down], 1), np.array([x, y]) - place[row, column])

        return np.asarray(np.array([column, row]) + step)

    def surface(self, texel: npt.NDArray[np.float64], jaw: float, smile: float) -> npt.NDArray[np.float64]:
        """The point in the head's frame of the skin at a texel (column, row), as this expression moves it."""
        u, v = texel * (2 * EXTENT / (self.grid.texels - 1)) - EXTENT
        shapes = cv2.getRectSubPix(self.radius, (1, 1), (float(texel[0]), float(texel[1])))[0, 0]
        radius = float(shapes @ np.array([1, jaw, smile], np.float32))
        return np.asarray(np.array([2 * u, 2 * v, 1 - u * u - v * v]) / (1 + u * u + v * v) * radius * self.axes)

    def meet(self, x: Map, y: Map, turn: npt.NDArray[np.float64], jaw: float, smile: float) -> Hit:
        """Meet the orthographic rays at camera (x, y), head units relative to the head's centre, with the surface."""
        weights = np.array([[1, jaw, smile]], np.float32)

        full_size, half_size = (x.shape[1], x.shape[0]), (x.shape[1] // 2, x.shape[0] // 2)
        half = _Rays.towards(self, cv2.resize(x, half_size), cv2.resize(y, half_size), turn, weights)
        full = _Rays.towards(self, x, y, turn, weights)
        # Halving the span cannot fail, but gains one bit a round: it is done at half size, and then sharpened. Margin

        # and square are what runs straight across the outline, and so what may be interpolated.
        margin, squared = (cv2.resize(field, full_size) for field in half.halved(rounds=7))
        ahead = full.sharpened(full.sharpened(np.sqrt(np.maximum(squared, 0))))

        point = full.point(ahead)
        column, row = full.texel(point)
        return Hit(depth=full.nearest + ahead, cover=_cover(margin), facing=point[2], column=column, row=row)


@dataclass(frozen=True, kw_only=True)
class _Rays:
    """Parallel rays against one pose and expression of a head, in the frame in which the skull is a unit ball."""

    head: HeadShape
    weights: Map
    start: list[Map]
    """x, y and z of each ray's point that comes nearest to the head's centre."""
    along: Map
    """The rays' direction, per head unit towards the viewer."""
    nearest: Map
    """The depth of `start`, head units."""

    @staticmethod
    def towards(head: HeadShape, x: Map, y: Map, turn: npt.NDArray[np.float64], weights: Map) -> _Rays:
        """The rays at camera (x, y) towards a head in this pose."""
        to_ball = (turn.T / head.axes[:, None]).astype(np.float32)
        along = to_ball[:, 2]
        plane = [to_ball[i, 0] * x + to_ball[i, 1] * y for i in range(3)]
        nearest = (plane[0] * along[0] + plane[1] * along[1] + plane[2] * along[2]) * (-1 / (along**2).sum())

        return _Rays(
            head=head,
            weights=weights,
            start=[plane[i] + along[i] * nearest for i in range(3)],
            along=along,
            nearest=nearest,
        )

    def point(self, ahead: Map) -> list[Map]:
        """x, y and z of the rays' points that lie so far (head units) before their starts."""
        return [self.start[i] + self.along[i] * ahead for i in range(3)]

    def texel(self, point: list[Map]) -> tuple[Map, Map]:
        """Column and row of the head's maps in the direction of these points."""
        x, y, z = point
        scale = 1 / np.maximum(np.sqrt(x * x + y * y + z * z) + z, np.float32(0.2))
        return self.head.grid.texel(x * scale, y * scale)

    def radius(self, point: list[Map]) -> Map:
        """The surface's distance from the centre in the direction of these points."""
        shapes = cv2.remap(self.head.radius, *self.texel(point), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.transform(shapes, self.weights))

    def halved(self, rounds: int) -> tuple[Map, Map]:
        """By how much the rays hit the head, and how far ahead of their starts they leave it, squared.

        Both are below 0 for the rays that miss.
        """
        bb = (self.along**2).sum()
        distance = sum(s * s for s in self.start)
        outline = self.radius(self.start)
        far = np.sqrt(np.maximum(np.float32(1.4) ** 2 - distance, 0) / bb)

        near = np.zeros_like(far)

        for _ in range(rounds):
            middle = (near + far) * np.float32(0.5)
            # The start is where the ray comes nearest, so the squares of the two sides of a right angle add up.
            inside = distance + bb * middle * middle < self.radius(self.point(middle)) ** 2
            near, far = np.where(inside, middle, near), np.where(inside, far, middle)

        beyond = np.minimum(outline * outline - distance, 0) / bb
        return outline - np.sqrt(distance), np.where(near > 0, near * far, beyond)

    def sharpened(self, ahead: Map) -> Map:
        """One fixed-point step: look up the radius for the point, then the point for the radius.

        Where rays graze the surface such steps leap from answer to answer (specks, a jagged edge): there the old
        value stays.
        """
        reach = self.radius(self.point(ahead)) ** 2 - sum(s * s for s in self.start)
        bb = (self.along**2).sum()
        better = np.sqrt(np.maximum(reach, 0) / bb)
        steep = ahead * np.sqrt(bb)  # about the cosine between ray and normal
        return np.asarray(ahead + smoothstep(0.25, 0.60, steep) * (better - ahead))


def _cover(margin: Map) -> Map:
    """0..1: how much of each pixel the head fills: margin over its slope is the distance to the outline in pixels."""
    across, down = (cv2.Sobel(margin, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    pixels = margin / np.maximum(cv2.magnitude(across, down), 1e-4)
    return np.asarray(np.clip(pixels + np.float32(0.5), 0, 1))


def _cheeks_raised(x: Map, y: Map) -> Map:
    """What a full smile adds to the radius."""
    side = np.abs(x)
    return np.asarray(
        0.05 * bump(side, y, (0.36, 0.30), (0.13, 0.10)) - 0.02 * bump(side, y, (0.33, 0.60), (0.06, 0.06))
    )


def _relief(a: Actor, x: Map, y: Map) -> Map:
    """Nose, sockets, brow ridge, cheekbones, lips and chin: what the face adds to the radius."""
    # The nose.
    side, tip = np.abs(x), a.nose_length
    profile = smoothstep(-0.18, tip, y) ** 1.3 * (1 - smoothstep(tip + 0.015, tip + 0.110, y))
    nose = a.nose_height * profile * ridge(x, a.nose_width * (0.72 + 0.42 * smoothstep(0, tip, y)))
    bridge = 0.030 * bump(x, y, (0, -0.06), (0.06, 0.10))

    # What lies beside it, and in the middle.
    mirrored = [  # height, place, size
        (0.072, (a.nose_width * 1.10, tip + 0.005), (0.046, 0.050)),  # nostrils' wings
        (-0.080, (a.eye_x, 0.0), (0.15, 0.085)),  # sockets
        (0.050, (a.eye_x, 0.005), (0.10, 0.065)),  # eyeballs
        (-0.030, (0.12, 0.0), (0.06, 0.06)),  # inner corners
        (0.035, (0.24, a.brow_y), (0.20, 0.07)),  # brow ridge
        (0.045, (0.40, 0.24), (0.15, 0.13)),  # cheekbones
        (-0.03 * (0.5 + a.lines), (0.42, 0.52), (0.10, 0.14)),  # hollow cheeks
    ]
    central = [
        (0.050, (0.0, 0.64), (0.24, 0.15)),  # the mouth's barrel
        (-0.030, (0.0, 0.80), (0.16, 0.045)),  # under the lip
        (a.chin, (0.0, 0.97), (0.19, 0.11)),
        (-0.012, (0.0, 0.50), (0.025, 0.06)),  # the groove under the nose
    ]

    relief = nose + bridge
    for height, centre, size in mirrored:
        relief = relief + height * bump(side, y, centre, size)
    for height, centre, size in central:
        relief = relief + height * bump(x, y, centre, size)

    return np.asarray(relief)
