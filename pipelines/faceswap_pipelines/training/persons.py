"""What a model keeps of its persons beside its weights, from their facesets: who they are, their skin, and examples of
their eyes and mouths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path

import numpy as np
import torch

from faceswap.faces.curate import one_sided
from faceswap.faces.examples import MOST, candidates, limited
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.masks import face_mask
from faceswap.faces.occlusion import SIDE, OcclusionFinder, reduced, seen_of, usual_cover
from faceswap.faces.quality import Measures
from faceswap.faces.skin import Skin, View, best_views, seen_turns, unwrapped
from faceswap.geometry import Similarity
from faceswap.types import Embedding, Picture
from faceswap_pipelines.common.progress import Progress, Run

_ENOUGH = 0.75  # of the examples that there may be: for the last few, as many faces again would have to be looked at


def identities(facesets: Mapping[str, Path]) -> dict[str, Embedding]:
    """What the persons of the facesets look like; without those of whom it is not known."""
    known = {}
    for person, folder in facesets.items():
        with Faceset.open(folder) as faceset:
            if (who := faceset.person) is not None:
                known[person] = who
    return known


def skins(facesets: Mapping[str, Path], mirror: bool, device: torch.device) -> Run[dict[str, Skin]]:
    """The persons' own skin, from the best faces of their facesets; `mirror` says whether those that are `one_sided`
    are learnt mirrored as well."""
    finder = OcclusionFinder(device)
    found = {}
    for number, (person, folder) in enumerate(facesets.items()):
        yield Progress(title="Taking the skin from the best pictures", done=number, total=len(facesets), unit="persons")
        with Faceset.open(folder) as faceset:
            records = faceset.records(kept_only=True)
            if records:
                measures = [record.measures for record in records]
                views = [_view(faceset, records[at], finder) for at in best_views(measures)]
                found[person] = unwrapped(views, seen_turns(measures + (_mirrored(measures) if mirror else [])))
    return found


def _view(faceset: Faceset, record: FaceRecord, finder: OcclusionFinder) -> View:
    crop = faceset.picture(record)
    return View(
        crop=crop,
        points=record.face.points_after(record.to_crop),
        visible=finder.visible([reduced(crop)])[0].cpu().numpy(),
    )


def examples(
    facesets: Mapping[str, Path], side: int, mirror: bool, device: torch.device
) -> Run[dict[str, list[Picture]]]:
    """Crops of the persons, spread over what they do, with nothing in front of their faces, for a model that draws
    faces of `side` px and learns with or without `mirror`."""
    finder = OcclusionFinder(device)
    found = {}
    for number, (person, folder) in enumerate(facesets.items()):
        yield Progress(title="Choosing examples of eyes and mouths", done=number, total=len(facesets), unit="persons")
        with Faceset.open(folder) as faceset:
            records = faceset.records(kept_only=True)
            if records:
                found[person] = _seen_whole(faceset, _spread(records, mirror), side, finder)
    return found


def _spread(records: Sequence[FaceRecord], mirror: bool) -> list[tuple[FaceRecord, bool]]:
    """Those that would be examples, and whether each is to be mirrored."""
    measures = [record.measures for record in records]
    shown = [(record, False) for record in records]
    if mirror:
        shown += [(records[at], True) for at in one_sided(measures).tolist()]
        measures += _mirrored(measures)
    return [shown[at] for at in candidates(measures).tolist()]


def _mirrored(measures: Sequence[Measures]) -> list[Measures]:
    """What the mirror images of those that are `one_sided` are like."""
    return [
        replace(measures[at], yaw=-measures[at].yaw, roll=-measures[at].roll) for at in one_sided(measures).tolist()
    ]


def _seen_whole(
    faceset: Faceset, faces: Sequence[tuple[FaceRecord, bool]], side: int, finder: OcclusionFinder
) -> list[Picture]:
    """The crops of those of which all is seen, but for what the person mostly wears: of the first, or, where too few
    of them are, of all."""
    whole = _whole_among(faceset, faces[:MOST], side, finder)
    if len(whole) < _ENOUGH * MOST and len(faces) > MOST:
        whole = _whole_among(faceset, faces, side, finder)
    return whole[:MOST]


def _whole_among(
    faceset: Faceset, faces: Sequence[tuple[FaceRecord, bool]], side: int, finder: OcclusionFinder
) -> list[Picture]:
    crops = [limited(faceset.picture(record), side) for record, _ in faces]
    visible = finder.visible([reduced(crop) for crop in crops]).cpu()

    placed = [
        record.face.points_after(record.to_crop.then(Similarity.resize(SIDE / record.side))) for record, _ in faces
    ]
    masks = torch.stack([torch.from_numpy(face_mask(points, SIDE)) for points in placed]).float() / 255
    covered = ((1 - seen_of(masks, visible, usual_cover(visible))) * masks).sum(dim=(1, 2))

    shown = [
        np.ascontiguousarray(crop[:, ::-1]) if mirrored else crop
        for crop, (_, mirrored) in zip(crops, faces, strict=True)
    ]
    return list(compress(shown, (covered == 0).tolist()))
