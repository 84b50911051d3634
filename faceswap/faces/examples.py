"""Examples: some of a person's pictures that a model keeps, for what its decoder has not the time to learn.

They spread over what the person does, and are the sharpest of each. What they are for: `swapping.example_detail`.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int
from PIL import Image, UnidentifiedImageError

from faceswap.faces.curate import balanced, column
from faceswap.faces.quality import Measures
from faceswap.media.pictures import DAMAGES
from faceswap.model.arrays import Arrays, read_arrays, write_arrays
from faceswap.types import Picture

MOST = 96
"""Pictures of each person: with twice as many swaps were no sharper."""
_SMALLEST = 0.6  # of the size that a tenth of the faces exceeds: what is smaller has less detail than decoders draw
_FINER = 2  # times the side of the faces that the model draws: as fine as swaps get
_LARGEST = 4096  # pixels of a side that is read
_QUALITY = 95  # of JPEG

Order = Int[np.ndarray, " chosen"]


def candidates(measures: Sequence[Measures]) -> Order:
    """Which faces would be examples, the first ones first, as far as nothing lies in front of them: twice as many as
    are needed, if there are so many."""
    if not measures:
        return np.empty(0, np.int64)
    sizes = column(measures, "size")
    large = np.flatnonzero(sizes >= _SMALLEST * np.percentile(sizes, 90))
    spread: Order = large[balanced([measures[at] for at in large.tolist()], 2 * MOST)]
    return spread


def limited(crop: Picture, side: int) -> Picture:
    """The crop, no larger than it is of use for a model that draws faces of `side` px."""
    side *= _FINER
    if crop.shape[0] <= side:
        return crop
    return cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def examples_file(model: Path) -> Path:
    """Where a model keeps its examples."""
    return model / "examples.safetensors"


def write_examples(model: Path, examples: Mapping[str, Sequence[Picture]]) -> None:
    """Keep each person's aligned crops in the folder `model`. Raises OutputError if that is not possible."""
    parts = {
        f"{number:04d}.{person}": _compressed(picture)
        for person, pictures in examples.items()
        for number, picture in enumerate(pictures)
    }
    write_arrays(examples_file(model), parts)


def read_examples(model: Path) -> dict[str, list[Picture]]:
    """By person; empty if the model was made before examples were kept. Raises ModelError if the file is damaged."""
    return read_arrays(examples_file(model), _by_person)


def _by_person(parts: Arrays) -> dict[str, list[Picture]]:
    pictures: dict[str, list[Picture]] = defaultdict(list)
    for name in sorted(parts):
        pictures[name.partition(".")[2]].append(_read(parts[name]))
    return dict(pictures)


def _compressed(picture: Picture) -> np.ndarray:
    """As JPEG: bytes."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done, "OpenCV writes JPEG"
    return np.asarray(data)


def _read(data: np.ndarray) -> Picture:
    """The picture. Raises ValueError for what is none."""
    try:
        with Image.open(io.BytesIO(data.tobytes()), formats=("JPEG",)) as opened:
            if opened.width != opened.height or opened.width > _LARGEST:
                raise ValueError("it holds pictures that are no crops")
            return np.array(opened.convert("RGB"))
    except (UnidentifiedImageError, *DAMAGES) as error:
        raise ValueError(f"it holds damaged pictures: {error}") from error
