"""The eyes and the mouth: smooth curves, drawn each frame over the head's paint.

They are drawn over the place of the resting skin (x, y, head units), so they turn and stretch with the surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .fields import Map, blend, bump, colour, ridge, smoothstep, tinted
from .head import MOUTH_Y
from .looks import Actor
from .script import Performance

Window = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """The picture of the head as it is being painted; `paint` and `gloss` are written to."""

    paint: Map
    """height x width x 3: RGB, 0..1, before any light."""
    gloss: Map
    """How much the surface shines, 0..1."""
    place: Map
    """x and y of the resting skin at each pixel."""
    facing: Map
    """Above 0 on the face's side of the head."""
    edge: float
    """Half the width of a clean edge, head units: a little under one pixel."""

    def window(self, x: float, y: float, half_width: float, half_height: float) -> Window | None:
        """The rows and columns that show the face near (x, y); None where they cannot be seen."""
        place, facing = self.place[::2, ::2], self.facing[::2, ::2]  # every other pixel is enough
        near = (np.abs(place[..., 0] - x) < half_width) & (np.abs(place[..., 1] - y) < half_height) & (facing > 0)
        left, top, width, height = (2 * side for side in cv2.boundingRect(near.astype(np.uint8)))
        return (slice(top, top + height), slice(left, left + width)) if width * height > 16 else None


def mouth_half_width(actor: Actor, jaw: float, smile: float) -> float:
    """From the middle to a corner, head units: wider in a smile, narrower when open."""
    return actor.mouth_width * (1 + 0.24 * smile - 0.14 * jaw)


def mouth_corner_y(smile: float) -> float:
    """Height of the mouth's corners, head units: a smile lifts them."""
    return MOUTH_Y - 0.055 * smile


def draw_eye(canvas: Canvas, a: Actor, side: int, act: Performance) -> None:
    """Draw the eye on the viewer's left (side -1) or right (1)."""
    window = canvas.window(side * a.eye_x, 0, a.eye_width * 1.4, 0.16)
    if window is None:
        return

    paint, edge, lid = canvas.paint[window], canvas.edge, act.lid
    x = canvas.place[window][..., 0] * side - a.eye_x  # grows outwards, on either side
    y = canvas.place[window][..., 1] + a.eye_tilt * x

    along = x / a.eye_width
    arc = np.maximum(1 - np.abs(along) ** 2.2, 0)
    low = a.eye_height * 0.62 * arc**0.9
    high = -a.eye_height * 1.05 * np.maximum(1 - (along + 0.08) ** 2, 0) ** 0.75
    top = low + (high - low) * np.float32(lid)

    # A closed lid must lose its crease and the socket's shade, or it reads as an open eye.
    blend(paint, colour(a.skin) * 0.95, 0.85 * (1 - lid) * bump(along, y, (0, -0.03), (0.95, 0.075)))
    blend(paint, paint * [0.74, 0.68, 0.66], 0.8 * lid * ridge(y - high + 0.034, 0.013) * arc)

    inside = smoothstep(-edge, edge, y - top) * smoothstep(-edge, edge, low - y) * (np.abs(along) < 1)
    blend(paint, _eyeball(a, act, x, y, top=top, along=along, side=side, edge=edge), inside)
    canvas.gloss[window] *= 1 - inside

    lashes = ridge(y - top, 0.018 - 0.004 * lid) * smoothstep(1.08, 0.9, np.abs(along))
    blend(paint, colour(a.hair) * 0.25, 0.92 * lashes)
    blend(paint, paint * 0.6, 0.5 * ridge(y - low, 0.009) * smoothstep(1, 0.8, np.abs(along)))
    blend(paint, colour(a.skin) * [0.66, 0.38, 0.36], 0.6 * bump(along, y, (-0.93, 0.004), (0.10, 0.012)))


def _eyeball(a: Actor, act: Performance, x: Map, y: Map, *, top: Map, along: Map, side: int, edge: float) -> Map:
    """White, iris, pupil and two reflections, under the shadow of the lid."""
    shadow = (0.66 + 0.34 * smoothstep(0, 0.055, y - top)) * (1 - 0.3 * np.abs(along) ** 3)
    ball = tinted(np.array([0.94, 0.92, 0.90]), shadow)

    iris_x, iris_y, size = act.gaze[0] * 0.042 * side, act.gaze[1] * 0.025 - 0.006, 0.064
    distance = np.hypot(x - iris_x, y - iris_y)
    # The iris is lighter below, where the light that entered it comes out.

    tone = 0.60 + 0.45 * smoothstep(0.02, size, distance) + 0.35 * smoothstep(-0.02, 0.05, y - iris_y)
    blend(ball, tinted(colour(a.iris), tone * shadow), smoothstep(size + edge, size - edge, distance))
    blend(ball, colour(a.iris) * 0.25, 0.75 * ridge(distance - size, 0.009))
    blend(ball, np.array([0.02, 0.02, 0.02]), smoothstep(0.028 + edge, 0.028 - edge, distance))

    spark = np.hypot(x - iris_x + 0.020 * side, y - iris_y + 0.022)
    blend(ball, np.ones(3), 0.95 * smoothstep(0.016 + edge, 0.016 - edge, spark))
    blend(ball, np.ones(3), 0.35 * bump(x, y, (iris_x + 0.022 * side, iris_y + 0.026), (0.014, 0.012)))
    return np.asarray(ball)


@dataclass(frozen=True, kw_only=True)
class _Lips:
    """The four curves of the mouth: y over the window's pixels."""

    along: Map
    """-1 at one corner, 1 at the other."""
    arc: Map
    """1 in the middle, 0 at the corners and beyond."""
    upper: Map
    upper_inner: Map
    lower_inner: Map
    lower: Map


def _lips(a: Actor, x: Map, jaw: float, smile: float) -> _Lips:
    along = x / mouth_half_width(a, jaw, smile)
    arc, side = np.maximum(1 - along * along, 0), np.abs(along)

    line = MOUTH_Y - 0.055 * smile * along * along
    upper_inner = line - 0.045 * jaw * arc**0.7 - 0.004 * np.cos(along * 7) * arc
    lower_inner = line + 0.140 * jaw * arc**0.55

    bow = 1 - 0.22 * ridge(along, 0.13) + 0.10 * ridge(side - 0.28, 0.15)
    upper = upper_inner - a.lip * 0.78 * arc**0.8 * bow

    return _Lips(
        along=along,
        arc=arc,
        upper=upper,
        upper_inner=upper_inner,
        lower_inner=lower_inner,
        lower=lower_inner + a.lip * 1.12 * arc**0.65,
    )


def draw_mouth(canvas: Canvas, a: Actor, jaw: float, smile: float) -> None:
    """Draw lips, teeth and tongue."""
    half = mouth_half_width(a, jaw, smile)
    window = canvas.window(0, MOUTH_Y + 0.08, half * 1.15, 0.30)
    if window is None:
        return

    paint, edge = canvas.paint[window], canvas.edge
    x, y = canvas.place[window][..., 0], canvas.place[window][..., 1]
    lips = _lips(a, x, jaw, smile)

    # Lips.
    side, on = np.abs(lips.along), np.abs(lips.along) < 1
    skin = smoothstep(-edge, edge, y - lips.upper) * smoothstep(-edge, edge, lips.lower - y) * on
    gap = smoothstep(-edge, edge, y - lips.upper_inner) * smoothstep(-edge, edge, lips.lower_inner - y) * on
    middle = (lips.upper_inner + lips.lower) / 2
    tone = (0.84 + 0.34 * bump(x, y - middle, (0, 0.01), (half * 0.7, 0.03))) * np.where(
        y < lips.upper_inner, 0.86, 1.0
    )
    blend(paint, tinted(colour(a.lips), tone), 0.88 * skin)

    # The mouth between them.
    gape = lips.lower_inner - lips.upper_inner
    blend(paint, _mouth_inside(x, y - lips.upper_inner, gape, lips), gap * smoothstep(0, 0.03, gape))
    # Where the lips meet the line is darkest; where they part it gives way to the teeth's own shadow.

    meet = 0.85 - 0.35 * smoothstep(0, 0.05, gape)
    blend(paint, colour(a.lips) * 0.30, meet * ridge(y - lips.upper_inner, 0.010) * smoothstep(1.04, 0.9, side))

    blend(paint, paint * 0.62, 0.7 * bump(np.abs(x), y, (half, mouth_corner_y(smile)), (0.022, 0.022)))
    canvas.gloss[window] += 0.10 * skin * (1 - gap)


def _mouth_inside(x: Map, depth: Map, gape: Map, lips: _Lips) -> Map:
    """Dark, with the tongue below and the upper teeth; depth counts down from the upper lip."""
    side = np.abs(lips.along)
    inside = np.broadcast_to(np.array([0.20, 0.06, 0.06], np.float32), (*x.shape, 3)).copy()

    tongue = smoothstep(0.40, 1.0, depth / np.maximum(gape, 0.01)) * smoothstep(0.85, 0.55, side)
    blend(inside, np.array([0.62, 0.27, 0.27]), 0.75 * tongue)

    teeth = smoothstep(1.0, 0.78, depth / (0.014 + 0.036 * lips.arc)) * smoothstep(0.9, 0.7, side)
    gaps = 0.93 + 0.07 * np.cos(x * 85)
    shadow = 0.72 + 0.28 * smoothstep(0, 0.03, depth)
    blend(inside, tinted(np.array([0.90, 0.88, 0.84]), gaps * shadow), 0.95 * teeth)

    return np.asarray(inside)
