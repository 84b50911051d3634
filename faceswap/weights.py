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


@cache
def weight_file(name: str) -> Path:
    """The path of the weights that the manifest lists as `name`, checked once per process.

    Raises ModelError if the manifest or the file is missing, or the file is not the one that was published.
    """
    folder = _folder()
    try:
        manifest = tomllib.loads((folder / "manifest.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the list of weights {folder / 'manifest.toml'} cannot be read: {error}", _REINSTALL
        ) from None
    if name not in manifest:
        raise ModelError(f"there are no weights called '{name}'", f"Choose one of: {', '.join(sorted(manifest))}")
    path = folder / str(manifest[name]["file"])
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"the weights {path} cannot be read: {error.strerror}", _REINSTALL) from None
    if digest != manifest[name]["sha256"]:
        raise ModelError(f"the weights {path} are damaged: their SHA-256 is not the manifest's", _REINSTALL)
    return path


def _folder() -> Path:
    package = Path(__file__).parent
    installed = package / "_weights"
    return installed if installed.is_dir() else package.parent / "weights"
