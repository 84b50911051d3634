"""Finding faces in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import torch

from faceswap.errors import DependencyError
from faceswap.types import Detection, Picture

# Faces narrower than this share of the frame's short side are not looked for: the search costs the more the
# smaller the faces may be, and people who swap faces in a clip do it with faces one can see.
_SMALLEST_FACE = 1 / 8
# Detection runs on frames reduced to this short side: its networks look at faces of 12 to 48 px anyway, and much of
# its time goes into resampling.
_WORKING_SIDE = 240


@runtime_checkable
class Detector(Protocol):
    """Finds the faces in a batch of pictures."""

    def detect(self, images: Sequence[Picture]) -> list[list[Detection]]:
        """The faces of each picture (all of one size), the largest first, in that picture's own pixels."""
        ...


class MTCNNDetector:
    """Multi-task cascaded convolutional networks (Zhang et al., 2016), through facenet-pytorch.

    The weights ship inside that package: nothing is downloaded. `min_face` is the width in pixels of the
    smallest face to look for; None takes an eighth of the frame's short side. `min_score` is the least
    confidence (0..1) that counts.
    """

    def __init__(
        self, device: torch.device | None = None, min_face: int | None = None, min_score: float = 0.95
    ) -> None:
        self._network = _load_mtcnn(device or torch.device("cpu"))
        self._min_face = min_face
        self._min_score = min_score

    def detect(self, images: Sequence[Picture]) -> list[list[Detection]]:
        """See `Detector.detect`."""
        if not images:
            return []

        # How large the cascade sees the picture.
        height, width = images[0].shape[:2]
        short = min(height, width)
        scale = min(1.0, _WORKING_SIDE / short)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        min_face = max(20.0, (self._min_face or short * _SMALLEST_FACE) * scale)
        if min(size) < min_face:
            return [[] for _ in images]  # no room for a face; the cascade fails on an empty pyramid

        small = [cv2.resize(i, size, interpolation=cv2.INTER_AREA) if scale < 1 else i for i in images]
        self._network.min_face_size = min_face
        boxes, scores, points = self._network.detect(np.stack(small), landmarks=True)

        back = np.array([width / size[0], height / size[1]])
        return [self._faces(*found, back) for found in zip(boxes, scores, points, strict=True)]

    def _faces(self, boxes: Any, scores: Any, points: Any, back: np.ndarray) -> list[Detection]:
        if boxes is None:
            return []

        faces = []
        for box, score, landmarks in zip(boxes, scores, points, strict=True):
            five = np.asarray(landmarks, np.float64) * back
            if score < self._min_score or np.ptp(five) < 4:
                continue

            left, top, right, bottom = (float(v) for v in np.asarray(box, np.float64) * np.tile(back, 2))
            faces.append(Detection((left, top, right, bottom), float(score), five))
        return sorted(faces, key=lambda face: (face.box[0] - face.box[2]) * (face.box[3] - face.box[1]))


def _load_mtcnn(device: torch.device) -> Any:  # facenet-pytorch ships no types
    try:
        from facenet_pytorch import MTCNN
    except ImportError as error:
        raise DependencyError(
            "the face detector's package facenet-pytorch is not installed",
            "Run the program through uv ('uv run faceswap ...'), or install it without its outdated pins: "
            "pip install --no-deps facenet-pytorch==2.6.0",
        ) from error
    return MTCNN(keep_all=True, post_process=False, device=device)
