"""What docs/footage.md says is taken and kept is what the code takes and keeps."""

from __future__ import annotations

import re
from pathlib import Path

from faceswap.media import pictures
from faceswap.media.codecs import CODECS, CONTAINERS

_TABLE = (Path(__file__).parents[2] / "docs" / "footage.md").read_text(encoding="utf-8").splitlines()


def row(begin: str) -> str:
    """The one line of the table that begins so."""
    [line] = [line for line in _TABLE if line.startswith(f"| {begin}")]
    return line


def test_videos_come_out_in_the_containers_named() -> None:
    assert set(re.findall(r"\.[a-z0-9]+\b", row("videos").split("|")[3])) == set(CONTAINERS)


def test_the_pictures_named_are_those_read() -> None:
    named = row("pictures").split("|")[1].removeprefix(" pictures: ")
    read = {*pictures.FORMATS} - {"GIF"}  # those that move are videos, and the row above says so
    assert {name.strip().upper() for name in named.split(",")} == read
    assert {*re.findall(r"\.(png|jpg)", row("pictures"))} == {"png", "jpg"}


def test_transparency_is_kept_by_the_codecs_named() -> None:
    named = re.findall(r"--codec ([a-z0-9]+)` \((\.[a-z]+)\)", row("transparency"))
    assert {codec for codec, _ in named} == {name for name, codec in CODECS.items() if codec.alpha}
    assert all(suffix in CODECS[codec].suffixes for codec, suffix in named)
