"""Finding the weight files that ship with the package, and making sure that they are the right ones.

They lie in `weights/` beside the package in a source checkout and in `faceswap/_weights/` in an installed wheel;
`manifest.toml` there names each file and its SHA-256.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from pathlib import Path

from faceswap.errors import ModelError

_REINSTALL = "Install the package again, or restore the folder 'weights' from its repository"


def is_listed(name: str) -> bool:
    """Whether the manifest lists weights called `name`. Raises ModelError if it cannot be read."""
    return name in _manifest()


@cache
def weight_file(name: str) -> Path:
    """The path of the weights that the manifest lists as `name`, checked once per process.

    Raises ModelError if the manifest or the file is missing, or the file is not the one that was published.
    """
    manifest = _manifest()
    if name not in manifest:
        raise ModelError(f"there are no weights called '{name}'", f"Choose one of: {', '.join(sorted(manifest))}")

    path = _folder() / str(manifest[name]["file"])
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"the weights {path} cannot be read: {error.strerror}", _REINSTALL) from None

    if digest != manifest[name]["sha256"]:
        raise ModelError(f"the weights {path} are damaged: their SHA-256 is not the manifest's", _REINSTALL)
    return path


def _manifest() -> dict[str, dict[str, str]]:
    path = _folder() / "manifest.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"the list of weights {path} cannot be read: {error}", _REINSTALL) from None


def _folder() -> Path:
    package = Path(__file__).parent
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"
