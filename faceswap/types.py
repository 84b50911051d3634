"""The nouns of the pipeline. All are frozen; arrays inside them are not to be written to.

Pictures are numpy uint8, height x width x 3, RGB, 0..255, sRGB as decoded. Points and boxes are in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from faceswap.geometry import Similarity

Picture = UInt8[np.ndarray, "_ _ 3"]
Alpha = UInt8[np.ndarray, "_ _"]
"""Opacity of a picture, 0..255."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; may reach outside the picture."""
Seal = Callable[[Path, str], None]
"""What a finished file goes through before it gets its name, which is the second argument; it may change the file."""
EMBEDDING = 128
"""Numbers of an embedding."""
Embedding = Float[np.ndarray, "128"]
"""Who somebody is: compared with others by Euclidean distance."""
Embeddings = Float[np.ndarray, "faces 128"]
MeshPoints = Float[np.ndarray, "468 3"]
"""x right, y down, z away from the viewer, all in pixels; z is 0 near the middle of the head, negative at the nose."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video, as a viewer would see it (rotation applied)."""

    image: Picture
    index: int
    """0 for the first frame of the file."""
    time: Fraction
    """Presentation time in seconds from the file's own clock; its first frame need not be at 0."""
    alpha: Alpha | None = None
    """Opacity, where the video has some: the picture is laid on black under it."""


@dataclass(frozen=True)
class Detection:
    """Where a detector has found a face."""

    box: Box
    score: float
    """The detector's confidence, 0..1."""
    landmarks: Float[np.ndarray, "5 2"]
    """The two eyes, the nose tip and the two mouth corners, left to right as the viewer sees them."""


@dataclass(frozen=True)
class Face:
    """One face in one picture: the surface of it that `faceswap.faces.landmarks` finds."""

    points: MeshPoints
    """In the picture's pixels, float32."""
    presence: float
    """How sure the mesh network is that it looks at a face, 0..1."""
    track: int = 0
    """The same number in every frame through which a face could be followed."""

    @cached_property
    def box(self) -> Box:
        """Around the points."""
        (left, top), (right, bottom) = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    @property
    def size(self) -> float:
        """The longer side of the box, in pixels: from the forehead to the chin, as a rule."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    def points_after(self, move: Similarity) -> MeshPoints:
        """The points where `move` takes them, depth to scale."""
        moved = move.apply(self.points[:, :2])
        return np.column_stack([moved, self.points[:, 2] * move.scale]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class FrameFaces:
    """The faces of one frame of a video, without its picture."""

    index: int
    time: Fraction
    """As in `Frame`."""
    cut: bool
    """Whether another scene begins with this frame."""
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class AlignedFace:
    """A face turned upright and cut out in the project's crop convention (`faceswap.faces.align`)."""

    image: Picture
    """Square."""
    to_crop: Similarity
    """From the frame's pixels to the crop's."""
    face: Face

    @property
    def crop_points(self) -> MeshPoints:
        """The face's points in the crop's pixels."""
        return self.points_at(self.image.shape[0])

    def points_at(self, side: int) -> MeshPoints:
        """The same in a crop of `side` px."""
        return self.face.points_after(self.to_crop.then(Similarity.resize(side / self.image.shape[0])))
