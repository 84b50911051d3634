"""Similarity transforms of the plane: rotation, uniform scale, translation. Pure numpy, float64.

Pixel coordinates put (0, 0) at the centre of the top-left pixel (OpenCV's convention), x to the right, y down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

Points = Float[np.ndarray, "n 2"]


@dataclass(frozen=True)
class Similarity:
    """The map (x, y) -> (a x - b y + tx, b x + a y + ty): multiplication by a + ib, then a shift.

    Four numbers, so that averaging transforms over
    time, storing them, and inverting them are all exact and simple.
    """

    a: float
    b: float
    tx: float
    ty: float

    @classmethod
    def resize(cls, scale: float) -> Similarity:
        """Scaling a picture by `scale`, edges onto edges: pixel centres sit half a pixel inside (cv2.resize's map)."""
        shift = (scale - 1) / 2
        return cls(scale, 0.0, shift, shift)

    @classmethod
    def fit(cls, source: Points, target: Points) -> Similarity:
        """The least-squares similarity from `source` onto `target`, never a reflection.

        Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991);
        in the plane its singular value decomposition reduces to one complex division.

        Raises ValueError for fewer than two distinct source points.
        """
        # Both point sets round their means, as complex numbers.
        p, q = np.asarray(source, np.float64), np.asarray(target, np.float64)
        p_mean, q_mean = p.mean(axis=0), q.mean(axis=0)
        z = (p - p_mean) @ np.array([1, 1j])
        w = (q - q_mean) @ np.array([1, 1j])

        spread = float((z.conj() @ z).real)
        if spread < 1e-12:
            raise ValueError("a similarity needs at least two distinct points")

        m = complex(z.conj() @ w) / spread
        a, b = m.real, m.imag
        return cls(
            a,
            b,
            float(q_mean[0] - a * p_mean[0] + b * p_mean[1]),
            float(q_mean[1] - b * p_mean[0] - a * p_mean[1]),
        )

    @property
    def scale(self) -> float:
        """How many times longer a line becomes."""
        return math.hypot(self.a, self.b)

    @property
    def matrix(self) -> Float[np.ndarray, "2 3"]:
        """The 2x3 matrix that cv2.warpAffine takes, as the forward map."""
        return np.array([[self.a, -self.b, self.tx], [self.b, self.a, self.ty]])

    def apply(self, points: ArrayLike) -> Points:
        """Map points of shape (n, 2)."""
        p = np.asarray(points, np.float64)
        moved: Points = p @ np.array([[self.a, self.b], [-self.b, self.a]]) + np.array([self.tx, self.ty])
        return moved

    def inverse(self) -> Similarity:
        """The map back. Raises ZeroDivisionError for a transform of scale zero."""
        square = self.a * self.a + self.b * self.b
        a, b = self.a / square, -self.b / square
        return Similarity(a, b, b * self.ty - a * self.tx, -b * self.tx - a * self.ty)

    def then(self, after: Similarity) -> Similarity:
        """The composition that applies this transform first and `after` second."""
        return Similarity(
            after.a * self.a - after.b * self.b,
            after.b * self.a + after.a * self.b,
            after.a * self.tx - after.b * self.ty + after.tx,
            after.b * self.tx + after.a * self.ty + after.ty,
        )
