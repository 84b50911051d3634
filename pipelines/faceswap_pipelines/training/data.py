"""From facesets on disk to the blocks of bytes that training reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

from faceswap.errors import FaceError
from faceswap.faces.curate import one_sided
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.masks import face_mask, feature_mask
from faceswap.faces.occlusion import SIDE as OCCLUSION_SIDE
from faceswap.faces.occlusion import OcclusionFinder, reduced, seen_of, usual_cover
from faceswap.geometry import Similarity
from faceswap.training.bank import PLANES, VISIBLE, FacePlanes, Sample, allocate
from faceswap.training.memory import free_memory
from faceswap_pipelines.common.progress import Progress, Run

MARGIN = 1.5
"""Faces lie in a bank this much larger than the model's picture, so that turning them does not blur."""

_FEWEST_FACES = 10
_BYTES = 9  # for each pixel: three colours, three masks, and the three colours of the corrupted copy
_AT_ONCE = 16  # faces in which it is looked at once for what covers them: large ones, so few
_SHARE = 0.4  # of the free memory that faces may take before they stay on disk


def place_for(facesets: Mapping[str, Path], side: int, device: torch.device, model: Path) -> Path | None:
    """Where these faces have to lie at `side` px: None for memory, the device's and our own; or the model's folder."""
    needed = 0
    for folder in facesets.values():
        with Faceset.open(folder) as faceset:
            records = faceset.records(kept_only=True)
            count = len(records) + len(one_sided([record.measures for record in records]))
            needed += count * _BYTES * _side(records, side) ** 2

    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun says how many share this machine's memory
    free = min(free_memory(device), free_memory(torch.device("cpu")) // processes)
    return model if needed > _SHARE * free else None


def load_faces(
    folder: Path,
    side: int,
    place: Path | None = None,
    person: str = "",
    *,
    finder: OcclusionFinder | None = None,
    mirror: bool = False,
) -> Run[FacePlanes]:
    """The kept faces of a faceset with their masks, in the order of the footage, at `side` px, or at the size of the
    largest crop if that is less; in memory, or in a file in `place`. With a `finder` they have a plane that says what
    of them is seen; with `mirror` those that are `one_sided` come mirrored, too, before the others.

    Raises FaceError if there are too few.
    """
    with Faceset.open(folder) as faceset, ThreadPoolExecutor() as pool:
        records = faceset.records(kept_only=True)
        if len(records) < _FEWEST_FACES:
            raise FaceError(
                f"the faceset {folder} has {len(records)} usable faces, and training needs at least {_FEWEST_FACES}"
                " (a few hundred are good)",
                "Extract more footage of this person into it",
            )

        turned = one_sided([record.measures for record in records]).tolist() if mirror else []
        shown = [*(records[at] for at in turned), *records]
        side = _side(records, side)
        faces = allocate((len(shown), PLANES + (finder is not None), side, side), place)

        def load(number: int, record: FaceRecord) -> None:
            crop = faceset.picture(record)
            points = record.face.points_after(record.to_crop.then(Similarity.resize(side / crop.shape[0])))
            how = cv2.INTER_AREA if crop.shape[0] >= side else cv2.INTER_CUBIC
            picture = cv2.resize(crop, (side, side), interpolation=how).astype(np.uint8, copy=False)
            planes = Sample(picture, face_mask(points, side), feature_mask(points, side)).planes()
            faces[number, :PLANES] = planes.flip(-1) if number < len(turned) else planes

        for done, _ in enumerate(pool.map(load, range(len(shown)), shown)):
            if done % 32 == 0:
                yield Progress(
                    title=f"Loading faces of {person or folder.name}", done=done, total=len(shown), unit="faces"
                )

    if finder is not None:
        yield from _note_what_is_seen(faces, finder, place, person or folder.name)
    return faces


def _note_what_is_seen(faces: FacePlanes, finder: OcclusionFinder, place: Path | None, name: str) -> Run[None]:
    """Fill the last plane of one person's faces: 255 where they are seen, 0 where something lies in front of them."""
    small = allocate((len(faces), OCCLUSION_SIDE, OCCLUSION_SIDE), place)
    usual = torch.zeros(OCCLUSION_SIDE, OCCLUSION_SIDE)
    chunks = torch.split(torch.arange(len(faces)), _AT_ONCE)

    # What is seen of each.
    for some in chunks:
        done = int(some[0])
        yield Progress(title=f"Looking what covers {name}", done=done, total=len(faces), unit="faces")
        crops = faces[some, :3].permute(0, 2, 3, 1).numpy()
        visible = finder.visible([reduced(crop) for crop in crops]).cpu()
        small[done : done + len(some)] = (255 * visible).round().to(torch.uint8)
        usual += usual_cover(visible) * len(some) / len(faces)

    # But for what is hers or his own.
    for some in chunks:
        masks = functional.adaptive_avg_pool2d(faces[some, 3].float() / 255, OCCLUSION_SIDE)
        seen = seen_of(masks, small[some].float() / 255, usual)[:, None]
        large = functional.interpolate(seen, size=faces.shape[-2:], mode="bilinear")[:, 0]
        faces[some, VISIBLE] = (255 * large).round().to(torch.uint8)


def _side(records: Sequence[FaceRecord], most: int) -> int:
    """The side at which to load these faces: `most`, if one of them is so large."""
    return min(most, max((record.side for record in records), default=most))
