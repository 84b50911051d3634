"""The nouns of the pipeline. All are frozen; arrays inside them are not to be written to.

Pictures are numpy uint8, height x width x 3, RGB, 0..255, sRGB as decoded. Points and boxes are in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float, UInt8

from faceswap.geometry import Similarity

Picture = UInt8[np.ndarray, "_ _ 3"]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; may reach outside the picture."""


@dataclass(frozen=True)
class Frame:
    """One picture of a video, as a viewer would see it (rotation applied)."""

    image: Picture
    index: int
    """0 for the first frame of the file."""
    time: Fraction
    """Presentation time in seconds from the file's own clock; its first frame need not be at 0."""


@dataclass(frozen=True)
class Face:
    """One face found in a picture."""

    box: Box
    score: float
    """The detector's confidence, 0..1."""
    landmarks: Float[np.ndarray, "5 2"]
    """The two eyes, the nose tip and the two mouth corners, left to right as the viewer sees them."""

    @property
    def size(self) -> float:
        """The longer side of the box, in pixels."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def area(self) -> float:
        """The area of the box, in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True)
class AlignedFace:
    """A face turned upright and cut out in the project's crop convention (`faceswap.faces.align`)."""

    image: Picture
    """Square."""
    to_crop: Similarity
    """From the frame's pixels to the crop's."""
    face: Face


@dataclass(frozen=True)
class Swap:
    """What a decoder made of one aligned face, ready to be pasted back."""

    image: Picture
    """Square, in the crop convention."""
    mask: UInt8[np.ndarray, "_ _"]
    """How much of each pixel to paste, 0..255; the same size as `image`."""
    to_crop: Similarity
    """From the frame's pixels to the pixels of `image`."""
