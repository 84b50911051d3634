"""Whose face a swap shows, as the program's identity network sees it (`faceswap.faces.identity`).

Embeddings are compared by their Euclidean distance; below `identity.SAME_PERSON` (0.55) two are taken for one person.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from faceswap.types import Embedding, Embeddings

Distances = Float[np.ndarray, " faces"]


def distances(faces: Embeddings, person: Embedding) -> Distances:
    """Of each face from a person."""
    return np.asarray(np.linalg.norm(faces - person, axis=1))


def way(faces: Embeddings, replaced: Embedding, wanted: Embedding) -> Distances:
    """How far each face has gone from the replaced person (0) to the wanted one (1): its projection on that way."""
    apart = wanted - replaced
    return np.asarray((faces - replaced) @ apart / max(float(apart @ apart), 1e-9))


def ranks(faces: Embeddings, wanted: Embedding, others: Sequence[Embedding]) -> Int[np.ndarray, " faces"]:
    """In which place the wanted person comes for each face, among all by their distance: 1 is the nearest.

    Identity retrieval, as in Roessler et al., "FaceForensics++" (2019), and papers on face swapping since.
    """
    own = distances(faces, wanted)
    nearer = [distances(faces, other) < own for other in others]
    return np.asarray(1 + np.sum(nearer, axis=0), np.int64) if nearer else np.ones(len(faces), np.int64)
