"""Faces whose place and turn are known: the mean face, laid into a picture."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from faceswap.faces.align import align
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.landmarks import mean_mesh
from faceswap.faces.quality import measure
from faceswap.geometry import Similarity
from faceswap.types import AlignedFace, Face

UPRIGHT = Similarity(60.0, 0.0, 128.0, 110.0)
"""A frontal head about 180 px wide in the middle of a 256 px picture."""


def turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Yaw, then pitch, then roll in degrees, for x right, y down, z away from the viewer; signs as in `Pose`."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def head(place: Similarity = UPRIGHT, angles: tuple[float, float, float] = (0, 0, 0), track: int = 1) -> Face:
    """The mean face, turned by yaw, pitch and roll, where `place` takes it."""
    turned = Face((mean_mesh() @ turn(*angles).T).astype(np.float32), 1.0, track)
    return Face(turned.points_after(place), 1.0, track)


def a_face(source: int, frame: int) -> tuple[AlignedFace, FaceRecord]:
    """A face for a faceset, other in each frame; every fifth is rejected, every second is known."""
    image = np.full((64, 64, 3), frame % 255, np.uint8)
    face = align(image, head(Similarity(14.0, 0.0, 31.5, 30.0), (float(frame), 0, 0)), 64)
    reason = "blurred" if frame % 5 == 4 else None
    time, who = Fraction(frame, 25), np.linspace(0, frame, 128) if frame % 2 else None
    record = FaceRecord(
        file=f"{frame:06d}.jpg",
        source=source,
        frame=frame,
        time=time,
        face=face.face,
        to_crop=face.to_crop,
        measures=measure(face),
        reason=reason,
        embedding=who,
    )
    return face, record
