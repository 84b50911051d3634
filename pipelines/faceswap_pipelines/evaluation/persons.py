"""Who is wanted, and among whom they are to be recognised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from faceswap.errors import FaceError
from faceswap.faces.faceset import Faceset
from faceswap.faces.identity import Identifier, typical
from faceswap.faces.landmarks import FaceMesh, five_points
from faceswap.faces.person import dominant_identity, pick, tracks_of
from faceswap.media.kinds import is_picture
from faceswap.media.pictures import read_picture
from faceswap.media.video import sample_frames
from faceswap.quality.looks import Inside, feature_hull, laplacian_variance, luminance, patch_box
from faceswap.quality.motion import Gestures, gestures
from faceswap.types import Detection, Embedding, Face, Picture
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.demo.actors import CAST, Stage, perform

_SAMPLES = 24  # faces by which somebody is known
_FRAMES = (0, 12, 24)  # by which a drawn actor is known

Shot = tuple[Picture, Face]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Whose face the swap should show."""

    identity: Embedding
    gestures: Gestures
    sharpness: float
    """Mean variance of the Laplacian in the hull of eyes, brows and mouth."""
    pictures: list[Picture]


def wanted_person(path: Path, finder: FaceFinder, device: torch.device) -> Wanted:
    """Who is to be seen in a faceset, a video or a picture. Raises FaceError if nobody is."""
    shots = _from_faceset(path) if path.is_dir() else _from_media(path, finder)
    if not shots:
        raise FaceError(f"no face was found in {path}", "Name footage that shows the wanted person with --identity")

    sharp = [laplacian_variance(luminance(image), _hull(image, face)) for image, face in shots]
    return Wanted(
        identity=_typical(shots, Identifier(device)),
        gestures=gestures([face for _, face in shots]),
        sharpness=float(np.mean(sharp)),
        pictures=[_close_up(image, face) for image, face in shots],
    )


def persons_of(facesets: Sequence[Path], device: torch.device) -> dict[str, Embedding]:
    """Who these facesets are of, by their paths."""
    identifier = Identifier(device)
    return {str(path): _typical(_from_faceset(path), identifier) for path in facesets}


def drawn_people(device: torch.device) -> dict[str, Embedding]:
    """The demo's actors, as the identity network sees them: strangers for every gallery."""
    mesh, identifier = FaceMesh(device), Identifier(device)
    people = {}
    for name, actor in CAST.items():
        stage = Stage(actor)
        shots = [stage.render(perform(frame, seed=0)) for frame in _FRAMES]
        places = [(shot.image, Detection((0.0, 0.0, 0.0, 0.0), 1.0, shot.landmarks)) for shot in shots]
        first = mesh.locate_each(places)
        second = mesh.locate_each([(shot.image, face) for shot, face in zip(shots, first, strict=True)])
        people[name] = _typical([(shot.image, face) for shot, face in zip(shots, second, strict=True)], identifier)

    return people


def _from_faceset(folder: Path) -> list[Shot]:
    """Some faces, evenly. Raises FaceError if there are none."""
    with Faceset.open(folder) as faceset:
        records = faceset.records(kept_only=True)
        if not records:
            raise FaceError(f"the faceset {folder} has no usable faces", "Name another")

        chosen = np.unique(np.linspace(0, len(records) - 1, _SAMPLES).astype(int))
        shots = []
        for record in (records[place] for place in chosen):
            points = record.face.points_after(record.to_crop)
            shots.append((faceset.picture(record), Face(points, record.face.presence)))

        return shots


def _from_media(path: Path, finder: FaceFinder) -> list[Shot]:
    """Whoever is seen most, in some frames."""
    images = [read_picture(path)] if is_picture(path) else [frame.image for frame in sample_frames(path, _SAMPLES)]
    tracks, seen = finder.look_at(images)

    person = dominant_identity(tracks)
    if person is None:
        return []
    numbers = tracks_of(person, tracks)

    found = [(frame.image, pick(faces.faces, numbers)) for frame, faces in seen]
    return [(image, face) for image, face in found if face is not None]


def _typical(shots: Sequence[Shot], identifier: Identifier) -> Embedding:
    return typical(identifier.embed([(image, five_points(face.points)) for image, face in shots]))


def _hull(image: Picture, face: Face) -> Inside:
    return feature_hull(face.points, (image.shape[0], image.shape[1]))


def _close_up(image: Picture, face: Face) -> Picture:
    return image[patch_box(face.points, (image.shape[0], image.shape[1]))]
