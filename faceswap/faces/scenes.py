"""Where one scene of a video ends and the next begins."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from faceswap.types import Picture

_THUMB = (32, 18)
_CHANGE = 14.0  # grey levels that the thumbnail's pixels change by on average at a cut...
_FACTOR = 3.0  # ...and so many times more than they have changed of late
_MEMORY = 0.3  # share of the latest change in what counts as "of late"

Thumb = Float[np.ndarray, "18 32"]


class CutFinder:
    """Sees cuts in frames that it is given in order; blends and fades are none.

    What decides about the next frame is in `thumb` and `restlessness`.
    """

    def __init__(self, thumb: Thumb | None = None, restlessness: float = 0.0) -> None:
        self.thumb = thumb
        """The frame before, small and grey; None before the first."""
        self.restlessness = restlessness
        """How much it has changed from frame to frame of late, in grey levels."""

    def is_cut(self, image: Picture) -> bool:
        """Whether a scene begins with this picture: it differs much, and suddenly, from the one before."""
        # A sixteenth of the pixels is plenty.
        small = cv2.resize(np.ascontiguousarray(image[::4, ::4]), _THUMB, interpolation=cv2.INTER_AREA)
        before, self.thumb = self.thumb, small.mean(axis=2)
        if before is None:
            return True

        change = float(np.abs(self.thumb - before).mean())
        is_cut = change > _CHANGE and change > _FACTOR * self.restlessness
        self.restlessness += _MEMORY * (change - self.restlessness)

        return is_cut
