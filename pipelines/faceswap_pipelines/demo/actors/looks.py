"""The cast: how each actor looks.

Lengths are in head units (half the height of the skull, about 88 px in a 256 px picture) in the head's own frame: the
origin between the eyes, x to the viewer's right, y down, z to the viewer. Colours are (red, green, blue), 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Colour


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A person who does not exist."""

    name: str
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    shirt: Colour
    backdrop: Colour

    skull_width: float = 0.68
    """Half the width of the skull."""
    jaw_width: float = 0.55
    jaw_height: float = 0.64
    chin: float = 0.055
    """How far the chin stands out."""
    neck: float = 0.37
    """Half the width of the neck."""

    nose_width: float = 0.085
    nose_length: float = 0.37
    """From the eyes to the tip."""
    nose_height: float = 0.19
    eye_x: float = 0.285
    """From the middle of the face to the middle of the eye."""
    eye_width: float = 0.152
    """Half the width of the eye."""
    eye_height: float = 0.086
    """Half the height of the open eye."""
    eye_tilt: float = 0.06
    """Slope of the eyes; positive raises the outer corners."""
    brow: float = 0.034
    """Half the thickness of the eyebrows."""
    brow_y: float = -0.195
    brow_arch: float = 0.05
    lip: float = 0.055
    """Thickness of the lower lip."""
    mouth_width: float = 0.24
    """Half the width of the mouth."""

    hairline: float = -0.56
    """Height of the hairline above the nose."""
    sweep: float = 0.10
    """Slope of the hairline: where the parting is."""
    volume: float = 0.10
    """How far the hair stands off the skull."""
    hair_length: float = 0.0
    """0 for short hair, else how far down it falls behind the head."""
    beard: float = 0.0
    """0..1; below 0.4 it reads as stubble."""
    glasses: bool = False
    blush: float = 0.3
    """0..1: red in the cheeks and the nose."""
    lines: float = 0.3
    """0..1: folds and creases."""
    seed: int = 1
    """Of the grain of skin and hair."""


ADA = Actor(
    name="ada", skin=(166, 108, 78), hair=(36, 25, 23), iris=(74, 44, 26), lips=(150, 62, 66), shirt=(206, 124, 52),
    backdrop=(92, 122, 112), skull_width=0.73, jaw_width=0.52, jaw_height=0.56, chin=0.025, neck=0.31,
    nose_width=0.110, nose_length=0.33, nose_height=0.15, eye_x=0.300, eye_width=0.162, eye_height=0.090,
    eye_tilt=0.13, brow=0.027, brow_y=-0.215, brow_arch=0.09, lip=0.088, mouth_width=0.245, hairline=-0.60,
    sweep=-0.08, volume=0.14, hair_length=1.12, blush=0.20, lines=0.08, seed=8,
)  # fmt: skip

BRUNO = Actor(
    name="bruno", skin=(230, 184, 158), hair=(118, 74, 46), iris=(74, 122, 142), lips=(190, 108, 102),
    shirt=(54, 78, 118), backdrop=(134, 152, 164), skull_width=0.68, jaw_width=0.57, jaw_height=0.66, chin=0.06,
    neck=0.40, beard=0.16, brow=0.036, brow_y=-0.190, hairline=-0.55, volume=0.13, seed=3,
)  # fmt: skip

CARL = Actor(
    name="carl", skin=(214, 158, 126), hair=(172, 168, 164), iris=(78, 92, 66), lips=(168, 100, 92),
    shirt=(74, 80, 74), backdrop=(142, 120, 112), skull_width=0.67, jaw_width=0.60, jaw_height=0.70, chin=0.07,
    neck=0.40, nose_width=0.10, nose_length=0.40, nose_height=0.21, eye_x=0.270, eye_width=0.142, eye_height=0.078,
    eye_tilt=-0.05, brow=0.042, brow_y=-0.175, brow_arch=0.015, lip=0.044, mouth_width=0.23, hairline=-0.68,
    sweep=0.0, volume=0.07, beard=0.85, glasses=True, lines=0.7, seed=5,
)  # fmt: skip

DINA = Actor(
    name="dina", skin=(240, 202, 176), hair=(206, 164, 104), iris=(86, 128, 92), lips=(204, 96, 104),
    shirt=(122, 70, 96), backdrop=(158, 146, 172), skull_width=0.70, jaw_width=0.49, jaw_height=0.60, chin=0.045,
    neck=0.29, nose_width=0.078, nose_length=0.32, nose_height=0.15, eye_x=0.290, eye_width=0.160, eye_height=0.094,
    eye_tilt=0.09, brow=0.024, brow_y=-0.205, brow_arch=0.06, lip=0.072, mouth_width=0.225, hairline=-0.50,
    sweep=0.22, volume=0.15, hair_length=1.45, blush=0.26, lines=0.05, seed=12,
)  # fmt: skip

CAST: dict[str, Actor] = {actor.name: actor for actor in (ADA, BRUNO, CARL, DINA)}
"""Everyone, by name."""
LEADS = (BRUNO, ADA)
"""The two for the demo: they differ in everything, and no glasses hide their blinks."""
