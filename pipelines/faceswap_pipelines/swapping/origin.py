"""What an output was made from: a table of its own in the file of settings beside it; `--settings` passes it over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomli_w

from faceswap.config import from_dict, read_toml, to_toml
from faceswap.errors import ConfigError
from faceswap.files import replaced

ORIGIN = "made_from"
"""The table's name."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What an output was made from."""

    video: str
    """The file's name."""
    model: str
    """The folder's name."""
    steps: int
    """How far the model was trained then."""
    first: int = 0
    stop: int | None = None
    """The first frame, and the one to stop before."""


def with_origin(settings: str, origin: Origin) -> str:
    """The text of a file of settings that says what its output was made from."""
    return f"{settings}\n[{ORIGIN}]\n{to_toml(origin)}"


def origin_of(file: Path) -> Origin | None:
    """What the output beside a file of settings was made from; None where that is not kept, as it was not before."""
    try:
        return from_dict(Origin, read_toml(file)[ORIGIN], str(file))
    except (ConfigError, KeyError, TypeError):
        return None


def rename_origin(file: Path, origin: Origin) -> None:
    """Have a file of settings name a video or a model as they are called now. Raises ConfigError or OSError."""
    values = read_toml(file)
    values[ORIGIN] = {name: value for name, value in vars(origin).items() if value is not None}
    with replaced(file) as fresh:
        fresh.write_text(tomli_w.dumps(values), encoding="utf-8")
