"""The marks of a swap: in every picture, and on every file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from faceswap.errors import OutputError
from faceswap.files import replaced
from faceswap.media.pictures import write_picture
from faceswap.media.sound import Sound
from faceswap.media.video_write import write_clip
from faceswap.provenance.consent import read_consent
from faceswap.provenance.label import labelled
from faceswap.provenance.seal import Sealer
from faceswap.provenance.watermark import watermarked
from faceswap.swapping.convert import Converted
from faceswap.types import Picture, Seal


def marked_frames(frames: Iterable[Converted], label: bool) -> Iterator[Converted]:
    """The frames with the invisible mark, and with the visible label if it is wanted."""
    for made in frames:
        yield replace(made, image=watermarked(labelled(made.image) if label else made.image))
        del made  # large pictures: they may go before the next ones come


def seal_of(model: Path, source: Path | None = None) -> Seal:
    """What signs pictures that a model has made, of an input's faces or of those that it learns. Raises OutputError or
    ModelError."""
    return Sealer(source, read_consent(model))


def write_marked(path: Path, image: Picture, seal: Seal) -> None:
    """Write a picture that was put together from swapped ones. Raises OutputError."""
    write_picture(path, watermarked(image), seal=seal)


def write_marked_film(
    path: Path, pictures: Iterable[Picture], frame_rate: Fraction, seal: Seal, sound: Sound | None = None
) -> None:
    """Write an .mp4 of pictures that show swapped faces, silent without `sound`: marked, and signed before it gets its
    name.

    Raises OutputError.
    """
    try:
        with replaced(path) as fresh:
            write_clip(fresh, map(watermarked, pictures), frame_rate, sound=sound)
            seal(fresh, path.name)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error})", "Choose another place with --out") from error
