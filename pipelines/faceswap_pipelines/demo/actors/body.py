"""All that is not the solid head: backdrop, back hair, bust, ears and glasses.

Simple shapes in camera coordinates (head units: x right, y down), each with its own clean edge; they are laid over a
picture in place.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from .fields import Map, blend, blurred, colour, noise, ridge, smoothstep, tinted
from .light import Lamp, shade
from .looks import Actor


@dataclass(frozen=True, kw_only=True)
class View:
    """How one frame looks at the head."""

    x: Map
    """Camera x of each pixel of the picture: size x size, head units, 0 at the head's centre."""
    y: Map
    pixel: float
    """The size of a pixel, head units."""
    turn: npt.NDArray[np.float64]
    """3x3: from the head's frame to the camera's."""
    lamp: Lamp

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """The rows and columns of a box given in camera coordinates."""
        height, width = self.x.shape
        x0, y0 = float(self.x[0, 0]), float(self.y[0, 0])
        columns = np.clip([(left - x0) / self.pixel, (right - x0) / self.pixel], 0, width).astype(int)
        rows = np.clip([(top - y0) / self.pixel, (bottom - y0) / self.pixel], 0, height).astype(int)
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))

    def pixels(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Head's frame (n x 3) to pixel coordinates (n x 2)."""
        seen = points @ self.turn.T
        origin = np.array([self.x[0, 0], self.y[0, 0]], np.float64)
        return np.asarray((seen[:, :2] - origin) / self.pixel)


def backdrop(actor: Actor, size: int, rng: np.random.Generator) -> Map:
    """A studio wall with a soft glow behind the head: size x size x 3, RGB 0..1."""
    side = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(side, side)
    glow = 1.22 - 0.50 * smoothstep(0.15, 1.5, np.hypot(x + 0.1, y + 0.15)) + 0.02 * noise(rng, size, 5)
    return np.asarray(np.clip(colour(actor.backdrop) * glow[..., None], 0, 1).astype(np.float32))


def draw_back_hair(image: Map, a: Actor, view: View, threads: Map) -> None:
    """Long hair behind the head and the neck; threads: brightness of the strands from left to right, about 0."""
    if not a.hair_length:
        return
    # A flat board that turns with the head, a little behind its middle.

    board = view.turn @ np.array([0.0, 0.0, -0.40])
    reach = a.skull_width + 0.45
    box = view.window(board[0] - reach, board[1] - 1.2, board[0] + reach, board[1] + a.hair_length + 0.15)

    inverse = np.linalg.inv(view.turn[:2, :2]).astype(np.float32)
    seen_x, seen_y = view.x[box] - np.float32(board[0]), view.y[box] - np.float32(board[1])
    x = inverse[0, 0] * seen_x + inverse[0, 1] * seen_y
    y = inverse[1, 0] * seen_x + inverse[1, 1] * seen_y

    top, bottom = -0.86 - a.volume, a.hair_length
    across = x / (a.skull_width + 0.12 + 0.16 * smoothstep(-0.6, 0.5, y))
    down = (y - (top + bottom) / 2) / ((bottom - top) / 2)
    level = np.abs(across * across * across) + np.abs(down * down * down) + 0.03 * np.sin(9 * x + 2)
    column = np.clip((across + 1) * (0.5 * len(threads)), 0, len(threads) - 1)

    strand = cv2.remap(threads[None], column, np.zeros_like(column), cv2.INTER_LINEAR)
    # Dark near the neck, where the head stands before it.

    near = (x / (a.skull_width + 0.12)) ** 2 + (y - 0.25) ** 2
    shadow = 1 - 0.72 * smoothstep(1.0, 0.2, near)
    depth = blurred(0.35 * np.sqrt(np.maximum(1.02 - level, 0)), 1.5)

    lit = shade(
        tinted(colour(a.hair), 0.86 + 0.09 * strand), depth, gloss=0.05, shadow=shadow, pixel=view.pixel, lamp=view.lamp
    )
    edge = 3 * view.pixel
    blend(image[box], lit, smoothstep(1 + edge, 1 - edge, level))


def draw_bust(image: Map, a: Actor, view: View, head_cover: Map, middle: float) -> None:
    """Neck, shoulders and shirt. The head's cover (size x size) casts a shadow; middle is where the collar stands."""
    size = image.shape[0]

    box = view.window(-3, 0.45, 3, 3)
    x, y = view.x[box], view.y[box]
    row = y[:, :1]
    # The neck leans from the collar, which hardly moves, to the base of the head.

    base = view.turn @ np.array([0.0, 0.75, -0.22])
    lean = (np.float32(base[0]) - middle) * smoothstep(1.30, 0.75, row)

    # The outline, from the neck to the shoulders.
    outline = np.interp(
        row, [0.7, 1.12, 1.22, 1.30, 1.40, 1.52, 1.75], np.array([1.0, 1.0, 1.10, 1.38, 2.10, 3.20, 4.0]) * a.neck
    )
    half = blurred(outline.astype(np.float32), max(0.6, 0.02 * size))
    slope = cv2.Sobel(half, cv2.CV_32F, 0, 1, scale=1 / 2) / view.pixel
    slant = view.pixel * np.sqrt(1 + slope**2)  # how far the outline moves sideways in a pixel across it

    off = x - middle - lean
    across = off / half
    collar = 1.20 + 0.17 * np.sqrt(np.maximum(1 - (off / (1.22 * a.neck)) ** 2, 0))
    edge = view.pixel
    cloth = smoothstep(-edge, edge, y - collar)

    paint = np.broadcast_to(colour(a.skin) * np.float32(0.93), (*x.shape, 3)).copy()
    # Collarbones and the tendons of the neck.

    tendon = ridge(np.abs(off) - 0.34 * a.neck - 0.25 * np.maximum(1.2 - y, 0), 0.035) * smoothstep(0.9, 1.25, y)
    blend(paint, colour(a.skin) * [0.72, 0.60, 0.56], 0.35 * tendon)
    blend(paint, colour(a.shirt), cloth)
    blend(paint, colour(a.shirt) * 0.72, 0.6 * ridge(y - collar - 0.055, 0.012) * cloth)

    bulge = np.sqrt(np.maximum(1 - across**2, 0)) * (0.24 + 0.35 * half) + 0.5 * np.maximum(y - 1.25, 0)
    depth = blurred((bulge + 0.03 * cloth).astype(np.float32), max(0.6, 0.006 * size))
    shadow = _cast(head_cover, view)[box]
    lit = shade(paint, depth, gloss=0.0, shadow=shadow, pixel=view.pixel, lamp=view.lamp)
    # The blur knows nothing below the picture's edge and flattens the cloth there: repeat the last good row.

    flat = 2 + size // 64
    lit[-flat:] = lit[-flat - 1]
    blend(image[box], lit, np.clip((half - np.abs(off)) / slant + 0.5, 0, 1))


def _cast(head_cover: Map, view: View) -> Map:
    """The head's soft shadow on what lies below: 1 in the open, dark right under the chin."""
    size = head_cover.shape[0]
    small = cv2.resize(head_cover, (64, 64), interpolation=cv2.INTER_AREA)
    unit = 64 / (view.pixel * size)  # pixels of the small picture in a head unit
    key = view.lamp.key
    shift = np.array([[1, 0, -0.18 * key[0] * unit], [0, 1, 0.20 * unit]], np.float32)
    soft = cv2.warpAffine(blurred(small, 0.10 * unit), shift, (64, 64), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(1 - 0.62 * cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR))


def _fill(image: Map, outline: npt.NDArray[np.float64], paint: Map) -> None:
    """Lay one colour over a polygon (n x 2, pixels). OpenCV smooths the edges of 8-bit pictures only: hence a mask."""
    corner = np.clip(np.floor(outline.min(0)).astype(int) - 2, 0, image.shape[0])
    end = np.clip(np.ceil(outline.max(0)).astype(int) + 3, 0, image.shape[0])
    mask = np.zeros((end[1] - corner[1], end[0] - corner[0]), np.uint8)
    if mask.size:
        cv2.fillPoly(mask, [np.round((outline - corner) * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
        blend(image[corner[1] : end[1], corner[0] : end[0]], paint, mask.astype(np.float32) / 255)


def draw_ears(image: Map, a: Actor, view: View) -> None:
    """Two ears with a dark hollow, where no long hair covers them."""
    if a.hair_length:
        return

    t = np.linspace(0, 2 * np.pi, 40)
    rim = np.stack([-0.07 * np.cos(t), 0.10 + 0.20 * np.sin(t) - 0.03 * np.cos(t), -0.10 + 0.13 * np.cos(t)], 1)

    for side in (-1.0, 1.0):
        ear = rim * [side, 1, 1] + [side * (a.skull_width - 0.015), 0, 0]
        light = (0.72 + 0.35 * max(0.0, side * float(view.lamp.key[0]))) * view.lamp.gain
        for scale, tone in ((1.0, [0.80, 0.72, 0.69]), (0.80, [0.88, 0.80, 0.77]), (0.52, [0.58, 0.44, 0.41])):
            part = (ear - ear.mean(0)) * scale + ear.mean(0)
            _fill(image, view.pixels(part), colour(a.skin) * tone * light)


def draw_glasses(image: Map, a: Actor, view: View, eye_z: float) -> None:
    """Rounded frames before the eyes, and the arm on the side that is seen; eye_z: depth of the eyes."""
    t = np.linspace(0, 2 * np.pi, 48)
    cos, sin = (np.sign(f) * np.abs(f) ** 0.75 for f in (np.cos(t), np.sin(t)))
    size, z = image.shape[0], eye_z + 0.10
    mask = np.zeros((size, size), np.uint8)
    thick = max(1, round(0.018 / view.pixel))

    def trace(points: npt.NDArray[np.float64]) -> None:
        path = np.round(view.pixels(points) * 16).astype(np.int32)
        cv2.polylines(mask, [path], False, (255,), thick, cv2.LINE_AA, 4)

    for side in (-1.0, 1.0):
        hinge = side * (a.eye_x * 1.04 + 0.22)
        trace(np.stack([side * (a.eye_x * 1.04 + 0.22 * cos), 0.05 + 0.175 * sin, z - 0.05 * (cos + 1)], 1))
        if view.turn[2, 0] * side < 0.1:
            trace(np.array([[hinge, -0.02, z - 0.10], [side * (a.skull_width + 0.03), -0.02, z - 0.62]]))

    bridge = np.linspace(-1.5, 1.5, 9)
    trace(np.stack([bridge * 0.037, -0.01 - 0.03 * np.cos(bridge), np.full(9, z)], 1))

    left, top, width, height = cv2.boundingRect(mask)
    box = slice(top, top + height), slice(left, left + width)
    blend(image[box], np.array([0.20, 0.14, 0.11]), mask[box].astype(np.float32) / 255)
