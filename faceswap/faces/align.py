"""The crop convention: where a face lies in an aligned crop, and how to get it there.

The five points of an upright, frontal mean face are put where `TEMPLATE` says; the rest of the face follows
from human proportions: the hairline comes to about 0.08 of the crop's height, the chin to 0.92, and the chin under
a wide open mouth to 0.96. Shares of the crop's side, so that one convention serves every crop size.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from faceswap.geometry import Points, Similarity
from faceswap.types import AlignedFace, Face, Picture

# Proportions of the widely used 112 px five-point mean face, scaled to an inter-ocular distance of 0.275 and
# shifted so that forehead and chin have the same room.
TEMPLATE: Points = np.array(
    [[0.3625, 0.405], [0.6375, 0.404], [0.501, 0.561], [0.388, 0.722], [0.616, 0.721]],
)
TEMPLATE.setflags(write=False)


def crop_transform(landmarks: Float[np.ndarray, "5 2"], size: int) -> Similarity:
    """The similarity from the frame's pixels to those of a `size` x `size` crop.

    `landmarks`: eyes, nose tip, mouth corners in frame pixels, as in `Face.landmarks`.
    """
    return Similarity.fit(landmarks, TEMPLATE * size - 0.5)


def cut(image: Picture, to_crop: Similarity, size: int) -> Picture:
    """The crop that `to_crop` describes; beyond the picture's edge its border pixels are repeated.

    A crop much smaller than its source is averaged, not sampled: the source is first halved until the
    remaining reduction is under two, so that fine texture does not turn into noise.
    """
    while to_crop.scale < 0.5:
        half = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
        to_crop = Similarity.resize(2.0).then(to_crop)
    return cv2.warpAffine(
        image, to_crop.matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8, copy=False)


def align(image: Picture, face: Face, size: int) -> AlignedFace:
    """Cut `face` out of `image`, upright, as a `size` x `size` crop."""
    to_crop = crop_transform(face.landmarks, size)
    return AlignedFace(cut(image, to_crop, size), to_crop, face)
