"""Choosing among the faces of a person: in which order to look at them, and which of them not to learn from.

Pure functions on what is known of faces: measures, embeddings, thumbnails. They answer with places in what they were
given (0 is the first); where two faces are equally good, the earlier one wins.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from faceswap.errors import ConfigError
from faceswap.faces.identity import SAME_PERSON, typical
from faceswap.faces.landmarks import AnyPicture
from faceswap.faces.quality import Measures
from faceswap.types import Embedding, Embeddings

KEYS = tuple(field.name for field in fields(Measures))
"""What faces can be sorted and chosen by: the names of `Measures`."""
OCCLUDED = "occluded"
"""What they can be chosen by as well: the share of a face that something covers, 0..1, which no faceset keeps."""

THUMBNAIL = 16
"""The side in pixels of the small pictures by which faces are compared."""
CLOSER_THAN = 2.0
"""Faces whose thumbnails differ less than this on average (grey levels, 0..255) may be near-duplicates.

Measured: neighbouring frames of a talking man differ by 0.7 to 4, those of a filmed picture by less than 0.3.
"""

Thumbnail = Float[np.ndarray, "16 16 3"]
Thumbnails = Float[np.ndarray, "faces 16 16 3"]
Order = Int[np.ndarray, " chosen"]
Labels = Int[np.ndarray, " faces"]
Chosen = Bool[np.ndarray, " faces"]

# Two faces are near-duplicates only if nothing of this has moved by more.
_TURNED = 2.0  # degrees of yaw, pitch, roll
_BLINKED = 0.03  # see `Measures.eyes`
_SPOKEN = 0.012  # see `Measures.mouth`

# How many bins a balanced choice tries to fill alike, for each measure that it balances.
_BINS = {"yaw": 12, "pitch": 8, "mouth": 6, "eyes": 4}
_OUTLIERS = 1.0  # percent at either end of a measure that lie in its first and last bin whatever their value

_COMPARED = 6000  # faces that are clustered all with all: 150 MB of distances; the rest join the nearest group


def column(measures: Sequence[Measures], key: str) -> Float[np.ndarray, " faces"]:
    """One measure of all faces. Raises ConfigError for an unknown name."""
    if key not in KEYS:
        raise ConfigError(f"'{key}' is not a measure of a face", f"Use one of {', '.join(KEYS)}")
    return np.array([getattr(face, key) for face in measures], np.float64)


@dataclass(frozen=True)
class Condition:
    """That a measure lies on one side of a limit, as in "sharpness<0.1"."""

    key: str
    sign: str
    """< or >"""
    limit: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """From KEY<VALUE or KEY>VALUE. Raises ConfigError."""
        match = re.fullmatch(r"\s*(\w+)\s*([<>])\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*", text)
        if match is None:
            raise ConfigError(
                f"'{text}' is not a condition", "Write KEY<VALUE or KEY>VALUE in quotes, for example 'sharpness<0.1'"
            )

        key, sign, limit = match.groups()
        if key not in (*KEYS, OCCLUDED):
            known = ", ".join((*KEYS, OCCLUDED))
            raise ConfigError(f"'{key}' is not a measure of a face", f"Use one of {known}")

        return cls(key, sign, float(limit))

    @property
    def known(self) -> bool:
        """Whether it is about one of the `Measures`."""
        return self.key in KEYS

    def holds(self, values: Float[np.ndarray, " faces"]) -> Chosen:
        """Of which faces it is true, whose measure has these values."""
        compare = operator.lt if self.sign == "<" else operator.gt
        return np.asarray(compare(values, self.limit))

    def __str__(self) -> str:
        return f"{self.key}{self.sign}{self.limit:g}"


def thumbnail(picture: AnyPicture) -> Thumbnail:
    """A crop with its edges left out, 16 x 16 pixels, 0..255."""
    edge = picture.shape[0] // 8
    middle = np.ascontiguousarray(picture[edge:, edge:-edge] if edge else picture)
    small = cv2.resize(middle, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return small.astype(np.float64)


def chain(thumbnails: Thumbnails) -> Order:
    """An order in which each face is followed by the one most like it of those that are left.

    It starts with the face that differs most from the mean of all: from an end, not from the middle. Alike is a small
    Euclidean distance of the thumbnails' colours, at 8 x 8 pixels.
    """
    count = len(thumbnails)
    if not count:
        return np.empty(0, np.int64)

    # Thumbnails of thumbnails, as points in space.
    coarse = thumbnails.reshape(count, 8, 2, 8, 2, 3).mean(axis=(2, 4)).reshape(count, -1).astype(np.float32)
    squares = (coarse**2).sum(axis=1)

    # From the most unusual one on, always to the nearest that is left.
    left = np.ones(count, bool)
    order = [int(np.linalg.norm(coarse - coarse.mean(axis=0), axis=1).argmax())]
    for _ in range(count - 1):
        left[order[-1]] = False
        away = squares - 2 * (coarse @ coarse[order[-1]])
        order.append(int(np.where(left, away, np.inf).argmin()))
    return np.array(order)


def near_duplicates(measures: Sequence[Measures], thumbnails: Thumbnails, closer_than: float = CLOSER_THAN) -> Chosen:
    """Which faces are near-duplicates of an earlier one that is none itself.

    That is: the thumbnails differ by less than `closer_than` on average, and neither has the head turned by more than
    2 degrees, nor have eyes or mouth moved. So a face that holds still while it speaks is no duplicate.
    """
    # What has to be alike before pictures are compared.
    moves = {"yaw": _TURNED, "pitch": _TURNED, "roll": _TURNED, "eyes": _BLINKED, "mouth": _SPOKEN}
    looks = np.stack([column(measures, key) / most for key, most in moves.items()], axis=1)
    pixels = thumbnails.reshape(len(measures), THUMBNAIL * THUMBNAIL * 3).astype(np.float32)

    repeated, kept = np.zeros(len(measures), bool), np.empty(len(measures), np.int64)
    count = 0

    for i in range(len(measures)):
        before = kept[:count]
        alike = before[(np.abs(looks[before] - looks[i]) < 1).all(axis=1)]
        repeated[i] = len(alike) > 0 and bool(np.abs(pixels[alike] - pixels[i]).mean(axis=1).min() < closer_than)

        if not repeated[i]:
            kept[count] = i
            count += 1
    return repeated


def balanced(measures: Sequence[Measures], count: int) -> Order:
    """`count` faces (all, if there are fewer) that spread evenly over poses and expressions, the sharpest first.

    The ranges of yaw, pitch, mouth and eyes, without their outermost percents, are each cut into equal bins. Faces
    are chosen one by one: always the one whose four bins are emptiest so far (the sum of the four fill levels, each
    relative to an even share), and the sharpest of those for which that is equal. So rare poses are all taken, and
    common ones thinned out to their sharpest faces; all four measures are as even as the faces allow.
    """
    # Which bin of each measure a face lies in.
    places = np.empty((len(measures), len(_BINS)), np.int64)
    for axis, (key, bins) in enumerate(_BINS.items()):
        values = column(measures, key)
        low, high = np.percentile(values, [_OUTLIERS, 100 - _OUTLIERS]) if len(values) else (0.0, 0.0)
        share = (values - low) / max(high - low, 1e-9)
        places[:, axis] = np.clip(share * bins, 0, bins - 1)

    by_sharpness = np.argsort(-column(measures, "sharpness"), kind="stable")
    places = places[by_sharpness]  # so the first of the emptiest is the sharpest

    # Take the sharpest of those whose bins are the emptiest.
    left, chosen = np.ones(len(measures), bool), []
    levels = np.zeros(len(measures), np.int64)  # how full the bins of each face are

    for _ in range(min(count, len(measures))):
        best = int(np.where(left, levels, np.iinfo(np.int64).max).argmin())
        left[best] = False
        chosen.append(best)
        levels += (places == places[best]) @ np.array(list(_BINS.values()))

    return by_sharpness[np.array(chosen, np.int64)]


def one_sided(measures: Sequence[Measures]) -> Order:
    """The faces that are turned further to one side than the person was ever filmed turned to the other: of these a
    mirror image shows something new."""
    yaw = column(measures, "yaw")
    if not len(yaw):
        return np.empty(0, np.int64)
    low, high = np.percentile(yaw, [_OUTLIERS, 100 - _OUTLIERS])
    return np.flatnonzero((-yaw < low - _TURNED) | (-yaw > high + _TURNED))


def groups(embeddings: Embeddings, count: int | None = None, seed: int = 0, nearer: float = SAME_PERSON) -> Labels:
    """Groups of faces of one person each: 1 for all in the largest group, 2 in the next one, and so on.

    Agglomerative clustering with average linkage: groups are joined while their faces are nearer than `nearer` to each
    other on average, or until `count` groups are left. Of very many faces a sample is clustered so, drawn by
    `seed`, and the others join the group whose mean is nearest.
    """
    if len(embeddings) < 2:
        return np.ones(len(embeddings), np.int64)

    # Whoever is compared with everybody: that grows with the square.
    sample = np.arange(len(embeddings))
    if len(embeddings) > _COMPARED:
        sample = np.sort(np.random.default_rng(seed).choice(sample, _COMPARED, replace=False))
    from sklearn.cluster import AgglomerativeClustering  # takes two seconds to import, and few commands need it

    wanted = {"distance_threshold": nearer} if count is None else {}
    clustering = AgglomerativeClustering(
        count if count is None else min(count, len(sample)), linkage="average", **wanted
    )
    found = np.asarray(clustering.fit_predict(embeddings[sample]), np.int64)

    # The others go to the nearest group.
    means = np.stack([embeddings[sample][found == label].mean(axis=0) for label in range(found.max() + 1)])
    labels = np.empty(len(embeddings), np.int64)
    labels[sample] = found
    for i in np.setdiff1d(np.arange(len(embeddings)), sample):
        labels[i] = np.linalg.norm(means - embeddings[i], axis=1).argmin()

    # Number the groups by size.
    _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(1, len(sizes) + 1)
    return rank[labels]


def dominant_identity(embeddings: Embeddings, presence: Float[np.ndarray, " faces"]) -> Embedding:
    """Who is seen most: the typical face of the largest group, counting each face by how surely it is one.

    So a crowd of false faces, which resemble each other, is nobody. Raises ValueError for no faces.
    """
    labels = groups(embeddings)
    return typical(embeddings[labels == np.bincount(labels, presence).argmax()] if len(labels) else embeddings)


def away_from(person: Embedding, embeddings: Embeddings) -> Float[np.ndarray, " faces"]:
    """How far each face is from a person's: strangers are farther than `SAME_PERSON`."""
    return np.asarray(np.linalg.norm(embeddings - person, axis=1))
