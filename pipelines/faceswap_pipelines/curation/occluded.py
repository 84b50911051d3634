"""How much of each face of a faceset is covered by hands and things: looked for when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.masks import face_mask
from faceswap.faces.occlusion import SIDE, OcclusionFinder, reduced
from faceswap.geometry import Similarity
from faceswap.streams import batched
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.progress import Progress, Run

_AT_ONCE = 64  # faces that are looked at between two reports of progress


def occluded_shares(faceset: Faceset, records: Sequence[FaceRecord], device: str) -> Run[Float[np.ndarray, " faces"]]:
    """Of each face the share, 0..1, in front of which something lies."""
    finder = OcclusionFinder(pick_device(device))

    shares: list[float] = []
    for some in batched(records, _AT_ONCE):
        yield Progress(title="Looking what covers faces", done=len(shares), total=len(records), unit="faces")
        crops = [faceset.picture(record) for record in some]
        visible = finder.visible([reduced(crop) for crop in crops]).cpu().numpy()

        for record, crop, seen in zip(some, crops, visible, strict=True):
            to_small = record.to_crop.then(Similarity.resize(SIDE / crop.shape[0]))
            face = face_mask(record.face.points_after(to_small), SIDE).astype(np.float64)
            shares.append(1 - float((face * seen).sum() / max(face.sum(), 1)))

    return np.array(shares)
