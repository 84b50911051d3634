"""Facesets as arrays, and what can be measured on a picture that a decoder has drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from faceswap.errors import FaceError
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.identity import Identifier
from faceswap.faces.landmarks import FaceMesh, five_points
from faceswap.faces.quality import Measures, measure
from faceswap.geometry import Similarity
from faceswap.latent.codes import Pictures, resized
from faceswap.types import AlignedFace, Embeddings, Face

FACTORS = ("yaw", "pitch", "mouth", "eyes", "brightness")
"""Of the measures, those that say what a face does and in what light; the others are of the footage."""

Values = Float[np.ndarray, " faces"]

_FACE_PRESENT = 0.5  # of the mesh network's score, as extraction asks for
_FACE_BOX = (0.12, 0.1, 0.88, 0.96)  # of an aligned crop's side: left, top, right and bottom of the face in it
_AT_ONCE = 32  # pictures through the mesh network


@dataclass(frozen=True, kw_only=True)
class FaceArrays:
    """The kept faces of a faceset, in the order of the footage."""

    pictures: Pictures
    """Aligned crops, RGB, 0..255."""
    files: tuple[str, ...]
    """Their names, as `Faceset.named` knows them."""
    sources: Int[np.ndarray, " faces"]
    """From which video or picture each is: a number that the faceset gave it."""
    seconds: Values
    """When it was seen, by its source's clock."""
    measures: Mapping[str, Values]
    """By the names of `faceswap.faces.quality.Measures`."""

    def __len__(self) -> int:
        return len(self.files)


def read_faces(folder: Path, side: int, most: int | None = None) -> FaceArrays:
    """The kept faces of the faceset `folder` at `side` px; with `most`, so many of them, evenly from all.

    Raises FaceError if there is no faceset, or if it keeps no face.
    """
    with Faceset.open(folder) as faceset, ThreadPoolExecutor() as pool:
        records = faceset.records(kept_only=True)
        if not records:
            raise FaceError(f"the faceset {folder} keeps no face", f"Take some back: faceswap faces restore {folder}")

        count = min(len(records), most or len(records))
        records = [records[place] for place in np.linspace(0, len(records) - 1, count).round().astype(int)]
        crops = pool.map(lambda record: resized(faceset.picture(record)[None], side), records)
        pictures = np.concatenate(list(crops))
    return _arrays(records, pictures)


def _arrays(records: Sequence[FaceRecord], pictures: Pictures) -> FaceArrays:
    names = [field.name for field in fields(Measures)]
    return FaceArrays(
        pictures=pictures,
        files=tuple(record.file for record in records),
        sources=np.array([record.source for record in records]),
        seconds=np.array([float(record.time) for record in records]),
        measures={name: np.array([getattr(record.measures, name) for record in records], float) for name in names},
    )


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What the face mesh finds on pictures of aligned faces, drawn or filmed."""

    faces: tuple[Face, ...]
    """In the pictures' pixels; of a picture that shows no face they mean nothing."""
    is_face: Bool[np.ndarray, " faces"]
    """Whether the mesh network takes it for a face at all."""
    measures: Mapping[str, Values]
    """By the names of FACTORS."""


def measure_pictures(mesh: FaceMesh, pictures: Pictures) -> Drawn:
    """What faces do on pictures in the project's crop convention, as extraction would measure it."""
    side = pictures.shape[1]
    left, top, right, bottom = (share * side for share in _FACE_BOX)
    box = (left, top, right, bottom)

    faces: list[Face] = []
    for start in range(0, len(pictures), _AT_ONCE):
        faces += mesh.locate_each([(picture, box) for picture in pictures[start : start + _AT_ONCE]])

    upright = Similarity(1.0, 0.0, 0.0, 0.0)
    measured = [measure(AlignedFace(picture, upright, face)) for picture, face in zip(pictures, faces, strict=True)]
    return Drawn(
        faces=tuple(faces),
        is_face=np.array([face.presence >= _FACE_PRESENT for face in faces], bool),
        measures={name: np.array([getattr(one, name) for one in measured], float) for name in FACTORS},
    )


def identities_of(identifier: Identifier, pictures: Pictures, drawn: Drawn) -> Embeddings:
    """Whose faces the pictures show, for an identity network: compared by Euclidean distance."""
    pairs = [(picture, five_points(face.points)) for picture, face in zip(pictures, drawn.faces, strict=True)]
    return np.array(identifier.embed(pairs)).reshape(len(pairs), -1)
