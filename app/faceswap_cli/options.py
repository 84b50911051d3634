"""Options that several commands have, and what their texts mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faceswap.documents import parse_toml
from faceswap_cli.terminal import UsageError, usage_errors

if TYPE_CHECKING:  # it takes a moment to load: not for --help
    from faceswap_pipelines.common.inputs import FrameRange

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print one machine-readable result on stdout.")]
Frames = Annotated[str, typer.Option(metavar="FIRST:STOP", help="Only these frames of a video, for example 0:300.")]
FrameRate = Annotated[
    str | None,
    typer.Option(
        "--frame-rate",
        metavar="RATE",
        help="Folders hold the numbered pictures of a film: so many a second, for example 24 or 24000/1001.",
        show_default="single pictures",
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="MEGAPIXELS", help="Read pictures and frames up to this size.", show_default="100 megapixels"
    ),
]
MinFace = Annotated[
    int | None,
    typer.Option(min=8, help="Look for faces down to this width in pixels.", show_default="1/8 of the height"),
]


def allow_pixels(megapixels: int | None) -> None:
    """What --max-pixels says, by the environment, so that processes which this one starts know it, too."""
    from faceswap.media.limits import MAX_PIXELS

    if megapixels is not None:
        os.environ[MAX_PIXELS] = str(megapixels)


def frame_range(text: str) -> FrameRange:
    """What --frames says. Raises UsageError."""
    from faceswap_pipelines.common.inputs import frame_range as read

    with usage_errors():
        return read(text)


def named_facesets(texts: Sequence[str], known: Mapping[str, Path]) -> dict[str, Path]:
    """Facesets by name: those `known`, and those given as NAME=FACESET. Raises UsageError."""
    from faceswap_pipelines.common.inputs import named_facesets as read

    with usage_errors():
        return read(texts, known)


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE by name, the values as TOML has them, bare words as text. Raises UsageError."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"'{text}' is not a setting", "Write it as NAME=VALUE, for example beta=4")
        try:
            values[name] = parse_toml(f"value = {value}")["value"]
        except ValueError:
            values[name] = value
    return values


def mapping(texts: Sequence[str], source: str | None, target: str | None, face: str | None) -> list[str] | None:
    """Who becomes whom, of those given as A=B and by --from and --to; none if faces are chosen in another way, and None
    if nothing is said of that. Raises UsageError."""
    if texts and (source or target):
        raise UsageError("--map says already who becomes whom", "Leave out --from and --to")

    if face and (texts or source):
        raise UsageError("--face and --map or --from are two ways to choose", "Leave one of them out")
    if source and not target:
        raise UsageError(f"it is not said whom '{source}' becomes", "Add --to PERSON")

    if source:
        return [f"{source}={target}"]
    return list(texts) or ([] if face or target else None)
