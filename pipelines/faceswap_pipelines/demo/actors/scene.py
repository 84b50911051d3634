"""One actor before the camera: a picture for a performance, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .body import View, backdrop, draw_back_hair, draw_bust, draw_ears, draw_glasses
from .features import Canvas, draw_eye, draw_mouth, mouth_corner_y, mouth_half_width
from .fields import Map, blend, blurred, noise, rotation
from .head import EXTENT, JAW_SLIDE, HeadShape, Hit
from .light import Lamp, shade
from .looks import Actor
from .paint import paint_head
from .script import Performance, perform

_HEAD_UNIT = 0.345
"""Half the height of the skull, in frame widths."""
_CENTRE_Y = 0.46
"""Where the head's centre rests, in frame widths from the top."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """One drawn frame and what is known of it."""

    image: UInt8[np.ndarray, "size size 3"]
    """RGB, 0..255."""
    landmarks: Float[np.ndarray, "5 2"]
    """Pixels: the two eyes, the nose tip and the two mouth corners, left to right as the viewer sees them."""
    face_mask: UInt8[np.ndarray, "size size"]
    """255 on the face (skin, brows, eyes, mouth, beard), 0 on hair, ears, neck and all else."""
    performance: Performance


class Stage:
    """A studio with one actor in it. The same performance always gives the same picture, bit by bit."""

    def __init__(self, actor: Actor, size: int = 256) -> None:
        """Prepare the actor for square pictures of this size, in pixels: 128 to 1024."""
        if not 128 <= size <= 1024:
            raise ValueError(f"A stage draws pictures of 128 to 1024 px, not {size}: choose a size in that range.")

        self.actor, self.size, self.pixel = actor, size, 1 / (_HEAD_UNIT * size)
        rng = np.random.default_rng(actor.seed)

        self._shape = HeadShape(actor, 512 if size <= 384 else 1024, rng)
        self._paint = paint_head(self._shape, rng)
        self._backdrop = backdrop(actor, size, rng)
        self._threads = noise(rng, 512, 140)[0]

        places = [(-actor.eye_x, 0.0), (actor.eye_x, 0.0), (0.0, actor.nose_length)]
        self._eyes_and_nose = [self._shape.locate(*place) for place in places]

        x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
        self._columns, self._rows = x, y

    def render(self, performance: Performance) -> Rendering:
        """Draw one frame."""
        act, size, pixel = performance, self.size, np.float32(self.pixel)
        centre = np.array([size * (0.5 + act.at[0]), size * (_CENTRE_Y + act.at[1])], np.float32)
        turn = rotation(act.yaw, act.pitch, act.roll)
        x, y = (self._columns - centre[0]) * pixel, (self._rows - centre[1]) * pixel

        view = View(x=x, y=y, pixel=self.pixel, turn=turn, lamp=Lamp.of(act))
        box = self._head_box(centre)
        hit = self._shape.meet(x[box], y[box], turn, act.jaw, act.smile)

        image = self._backdrop.copy()
        cover = np.zeros((size, size), np.float32)
        cover[box] = hit.cover

        draw_back_hair(image, self.actor, view, self._threads)
        # The shoulders follow the head, but only a little.

        base = turn @ np.array([0.0, 0.8, -0.25])
        draw_bust(image, self.actor, view, cover, middle=0.3 * float(base[0]))
        draw_ears(image, self.actor, view)

        head, hair = self._head(hit, act, view)
        blend(image[box], head, hit.cover)
        if self.actor.glasses:
            eye = self._shape.surface(self._eyes_and_nose[1], 0.0, 0.0)
            draw_glasses(image, self.actor, view, float(eye[2]))

        mask = np.zeros((size, size), np.uint8)
        mask[box] = (255 * hit.cover * (1 - hair) * (hit.facing > 0.1)).astype(np.uint8)
        picture = cv2.convertScaleAbs(image, alpha=255)  # rounds, and stops at 255
        return Rendering(image=picture, landmarks=self._landmarks(view, act), face_mask=mask, performance=act)

    def _head_box(self, centre: Map) -> tuple[slice, slice]:
        """The rows and columns that the head can reach in any pose."""
        left, right = np.clip(centre[0] + np.array([-1.02, 1.02]) / self.pixel, 0, self.size).astype(int)
        top, bottom = np.clip(centre[1] + np.array([-1.22, 1.34]) / self.pixel, 0, self.size).astype(int)
        return slice(int(top), int(bottom)), slice(int(left), int(right))

    def _head(self, hit: Hit, act: Performance, view: View) -> tuple[Map, Map]:
        """The lit head over its box (RGB 0..1), and how much of each pixel is hair (0..1)."""
        place = cv2.remap(self._shape.place, hit.column, hit.row, cv2.INTER_LINEAR)
        # The open jaw carries the painted skin with it, three quarters of the way.

        slide = np.float32(0.75 * JAW_SLIDE * act.jaw * self._shape.grid.texels / (2 * EXTENT))
        texture = cv2.remap(
            self._paint, hit.column, hit.row - slide * place[..., 2], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )

        paint, hair = np.ascontiguousarray(texture[..., :3]), texture[..., 3]
        gloss = 0.07 + 0.05 * hair
        canvas = Canvas(paint=paint, gloss=gloss, place=place[..., :2], facing=hit.facing, edge=self.pixel * 0.8)

        for side in (-1, 1):
            draw_eye(canvas, self.actor, side, act)
        draw_mouth(canvas, self.actor, act.jaw, act.smile)

        soft = blurred(hit.depth, max(0.6, 0.0045 * self.size))
        # Hollows get less of the sky than hills: compare the depth with its surroundings'.

        around = blurred(np.ascontiguousarray(soft[::4, ::4]), 0.045 * self.size / 4)
        around = cv2.resize(around, (soft.shape[1], soft.shape[0]), interpolation=cv2.INTER_LINEAR)
        hollow = np.clip(2.0 * (around - soft), -0.08, 0.40) * (hit.facing > 0.2)

        shadow = 1 - blurred(hollow, 1.0)
        return shade(paint, soft, gloss=gloss, shadow=shadow, pixel=self.pixel, lamp=view.lamp), hair

    def _landmarks(self, view: View, act: Performance) -> Float[np.ndarray, "5 2"]:
        half, y = mouth_half_width(self.actor, act.jaw, act.smile), mouth_corner_y(act.smile)
        texels = [*self._eyes_and_nose, self._shape.locate(-half, y), self._shape.locate(half, y)]
        points = np.stack([self._shape.surface(texel, act.jaw, act.smile) for texel in texels])
        return view.pixels(points).astype(np.float32)


def frames(actor: Actor, count: int, size: int = 256, seed: int = 0, frame_rate: float = 25.0) -> Iterator[Rendering]:
    """The first `count` frames of the clip that `seed` names (see `perform`), square pictures of `size` pixels."""
    stage = Stage(actor, size)
    for index in range(count):
        yield stage.render(perform(index, seed, frame_rate))
