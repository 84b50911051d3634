"""Folders of numbered pictures, as renderers and scanners leave them, read as if they were videos.

    shot/shot_0001.png shot/shot_0002.png shot/shot_0004.png      a gap: the second one is shown for two frames

Frames are counted from 0 without gaps; times are by the pictures' numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from faceswap.errors import MediaError
from faceswap.media.info import VideoInfo
from faceswap.media.kinds import is_picture
from faceswap.media.pictures import read_picture
from faceswap.types import Frame, Picture

_NUMBER = re.compile(r"(.*?)([0-9]{1,12})")


@dataclass(frozen=True)
class NumberedPictures:
    """The pictures of one folder, in the order of their numbers."""

    folder: Path
    frame_rate: Fraction
    """Frames per second."""

    @cached_property
    def files(self) -> dict[int, Path]:
        """By their numbers. Other files are passed over.

        Raises MediaError if there are none, if a picture has no number, or if they are those of several films.
        """
        pictures = [path for path in self.folder.iterdir() if not path.name.startswith(".") and is_picture(path)]
        if not pictures:
            raise MediaError(f"the folder {self.folder} holds no pictures", "Name one that holds the frames of a film")

        remedy = "Put the pictures of each film into a folder of their own, numbered as in shot_0001.png"
        parsed = {path: _NUMBER.fullmatch(path.stem) for path in sorted(pictures)}
        if loose := next((path for path, match in parsed.items() if match is None), None):
            raise MediaError(f"the picture {loose} has no number", remedy)

        names = {match[1] for match in parsed.values() if match}
        numbers = {int(match[2]): path for path, match in parsed.items() if match}
        if len(names) > 1 or len(numbers) < len(parsed):
            raise MediaError(f"the folder {self.folder} holds pictures of more than one film", remedy)
        return dict(sorted(numbers.items()))

    @property
    def info(self) -> VideoInfo:
        """What a video of them would be. Raises MediaError."""
        height, width = read_picture(next(iter(self.files.values()))).shape[:2]
        return VideoInfo(
            path=self.folder,
            width=width,
            height=height,
            rotation=0,
            pixel_aspect=Fraction(1),
            frame_rate=self.frame_rate,
            frame_count=len(self.files),
            duration=(max(self.files) - min(self.files) + 1) / self.frame_rate,
            time_base=1 / self.frame_rate,
            codec="pictures",
            bit_depth=8,
            color_matrix="untagged",
            full_range=True,
            has_audio=False,
        )

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """The frames `start`, `start` + 1, ... up to but without `stop`, all scaled to the size of the first picture.

        Raises MediaError, on `next`, for a picture that cannot be read.
        """
        info, begin = self.info, min(self.files)
        for index, (number, path) in enumerate(list(self.files.items())[start:stop], start=start):
            image = _scaled(read_picture(path), info.width, info.height)
            yield Frame(image, index, (number - begin) / self.frame_rate)

    @property
    def gaps(self) -> int:
        """How many numbers are missing between the first and the last."""
        return sum(after - before - 1 for before, after in pairwise(self.files))


def _scaled(image: Picture, width: int, height: int) -> Picture:
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
