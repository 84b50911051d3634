"""Files in the folders of projects: what they are, what they may be called, and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

from faceswap.documents import is_text
from faceswap.errors import OutputError
from faceswap.files import replaced
from faceswap.media.kinds import is_picture, is_video

_LONGEST_STEM = 100  # bytes of a clip's name in another file's: file systems end at 255 for all of it


def make_folder(folder: Path) -> None:
    """Makes a folder unless it is there, and sees that it can be written to. Raises OutputError."""
    trial = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be written to ({error.strerror})", "Choose another with --projects"
        ) from error


def files(folder: Path) -> list[Path]:
    """What lies in a folder: nothing hidden, no links to elsewhere, and nothing whose name cannot be shown."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if not path.name.startswith(".") and is_text(path.name))
    return sorted(path for path in found if path.is_file() and path.resolve().parent == folder.resolve())


def is_result(path: Path) -> bool:
    """Every swap leaves its settings beside what it has made."""
    return (is_video(path) or is_picture(path)) and path.with_name(f"{path.stem}.settings.toml").is_file()


def free(folder: Path, name: str, taken: Callable[[Path], bool]) -> Path:
    """A place for a file of this name, numbered if need be, that is not taken."""
    stem, suffix = Path(name).stem, Path(name).suffix
    places = (folder / (name if number == 1 else f"{stem}_{number}{suffix}") for number in count(1))
    return next(place for place in places if not taken(place))


def shortened(stem: str) -> str:
    """A name that fits into another file's, and is not hidden."""
    return stem.encode()[:_LONGEST_STEM].decode(errors="ignore").lstrip(".") or "clip"


def write(path: Path, text: str) -> None:
    """Replace a file, whole at every moment. Raises OutputError."""
    try:
        with replaced(path) as fresh:
            fresh.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Check the folder and its space") from error
