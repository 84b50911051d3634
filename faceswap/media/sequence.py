"""Writing a video as numbered PNG pictures in a folder that appears whole, at the end, or not at all.

out/000000.png ...            the frames in order; those of numbered pictures under the names that they had
.out.partial/                 while the work goes on: the same, and `signature`, which says what is being made
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import count, islice, takewhile
from pathlib import Path
from types import TracebackType

from faceswap.errors import OutputError
from faceswap.files import beside, open_work_folder
from faceswap.media.pictures import Extras, read_extras, write_picture
from faceswap.types import Alpha, Picture, Seal

_SIGNATURE = "signature"


class SequenceWriter:
    """Writes frames as pictures; goes on where an earlier one with the same `signature` stopped.

    To be used in a `with` block, at whose end the folder gets its name. Raises OutputError if it cannot be written, or
    if `out` is there and holds anything but the pictures of an earlier sequence: nothing of the user's is removed.
    """

    def __init__(
        self,
        out: Path,
        signature: str,
        seal: Seal | None = None,
        originals: Sequence[Path] = (),
        with_extras: bool = False,
        only: range | None = None,
    ) -> None:
        """`originals`: the pictures that the frames were, if they were pictures: they name the new ones, which, with
        `with_extras`, keep their transparency and EXIF. `only`: some of the frames, counted from the first; others are
        written by other processes meanwhile, and the folder gets its name from a writer that has all."""
        self._out = out
        self._only = only
        self._seal = seal
        self._originals, self._with_extras = originals, with_extras
        self._folder = beside(out, ".partial", prefix=".")

        if out.exists() and not self._is_sequence(out):
            raise OutputError(f"{out} holds other things than frames", "Name a new folder")
        try:
            for path in open_work_folder(self._folder, signature):
                if only is None and not self._is_frame(path):  # half a picture, left by a kill
                    path.unlink()
        except OSError as error:
            raise OutputError(
                f"{out} cannot be written ({error.strerror})", "Check that its folder exists and may be written to"
            ) from error

        present = {path.name for path in self._folder.iterdir()}
        wanted = islice(self._names(), only.start if only else 0, only.stop if only else None)
        self.frames_done = sum(1 for _ in takewhile(present.__contains__, wanted))
        """How many of its frames are written."""

    def write(self, image: Picture, time: Fraction, alpha: Alpha | None = None) -> None:
        """Writes the next frame, with its opacity; pictures know no time. Raises OutputError."""
        del time
        number = self.frames_done + (self._only.start if self._only else 0)
        name, extras = f"{number:06d}.png", None if alpha is None else Extras(alpha, b"")
        if self._originals:
            original = self._originals[number]
            name, extras = f"{original.stem}.png", read_extras(original) if self._with_extras else None

        write_picture(self._folder / name, image, seal=self._seal, extras=extras)
        self.frames_done += 1

    def complete(self) -> None:
        """Sees that there is something; pictures need no joining. Raises OutputError."""
        if not self.frames_done:
            raise OutputError(f"No frame was written to {self._out}", "Choose a range of frames that is not empty")

    def discard(self) -> None:
        """Throws away all that was written. The writer cannot be used any more."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> SequenceWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Gives the folder its name, if it has all frames; on an exception it stays for the next attempt."""
        if kind is not None or self._only is not None:
            return

        self.complete()

        try:
            if self._out.exists():
                shutil.rmtree(self._out)
            os.replace(self._folder, self._out)
            (self._out / _SIGNATURE).unlink()  # not before: killed in between, it would look like other work
        except OSError as error:
            raise OutputError(f"{self._out} cannot be written ({error.strerror})", "Name another folder") from error

    def _names(self) -> Iterator[str]:
        """Of the pictures, in their order; of a video's, without end."""
        if self._originals:
            return (f"{original.stem}.png" for original in self._originals)
        return (f"{number:06d}.png" for number in count())

    def _is_sequence(self, folder: Path) -> bool:
        """Whether a folder holds what this writer leaves there: the first frames, none missing, and nothing else."""
        if not folder.is_dir():
            return False
        names = {path.name for path in folder.iterdir()} - {_SIGNATURE}
        return names == set(islice(self._names(), len(names)))

    def _is_frame(self, path: Path) -> bool:
        if self._originals:
            return path.name == _SIGNATURE or path.name in set(self._names())
        return (path.suffix == ".png" and path.stem.isdigit()) or path.name == _SIGNATURE
