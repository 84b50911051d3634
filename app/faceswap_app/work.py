"""What the page does, without the page: what there is to choose from, and the swap itself.

Everything that comes from a visitor is text until `Workshop` has made a path of it, inside the folders it may use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from faceswap.errors import ConfigError, OutputError
from faceswap.media.codecs import Encoding
from faceswap.media.pictures import is_video
from faceswap.training.checkpoint import latest_checkpoint, read_config
from faceswap_pipelines.job import Progress, run
from faceswap_pipelines.swap import SwapResult, swap
from faceswap_pipelines.swap_setup import SwapJob, SwapSettings

_DEPTH = 2  # PROJECTS/NAME, and PROJECTS/NAME/model as `faceswap demo` makes it
_LONGEST_STEM = 100  # bytes of a clip's name in its result's name: file systems end at 255 for all of it


class Workshop:
    """A folder of projects and what can be done in it."""

    def __init__(self, projects: Path, uploads: Path, device: str = "auto") -> None:
        self.projects = projects.resolve()
        self.results = self.projects / "results"
        self._uploads = uploads.resolve()
        self._device = device

    def models(self) -> list[str]:
        """Model folders that can be swapped with, relative to the projects folder."""
        folders = self._inside(lambda path: (path / "config.toml").is_file())
        return sorted(self._name(path) for path in folders if latest_checkpoint(path))

    def clips(self) -> list[str]:
        """Videos in the projects folder, relative to it; results are not offered as clips."""
        return sorted(self._name(path) for path in self._inside(lambda path: is_video(path) and path.is_file()))

    def persons(self, model: str | None) -> tuple[str, ...]:
        """The persons that a model knows. Raises ModelError or ConfigError."""
        return read_config(self._path(model, "model")).model.persons

    def swap(
        self,
        choices: tuple[str | None, str | None, str | None, str | None],
        crf: int,
        watch: Callable[[Progress], object],
    ) -> SwapResult:
        """Swap in the chosen clip, as `faceswap swap` does; `choices` are model, person from, person to, and clip.

        An exception from `watch` stops the job cleanly. Raises FaceswapError for everything a visitor can mend.
        """
        model, source, target, clip = choices
        folder, video = self._path(model, "model"), self._path(clip, "clip")
        if not is_video(video):
            raise ConfigError(f"{video.name} is not a video", "Choose an .mp4, .mov, .mkv or .webm file")
        if not source or not target or source == target:
            raise ConfigError("two different persons are needed", "Choose whom to replace, and by whom")
        if not 0 <= crf <= 51:
            raise ConfigError(f"there is no quality {crf}", "Choose one from 0 to 51")
        make_folder(self.results)
        # The model is asked first: a person's name becomes part of a path, and its persons' names are plain words.
        for person in (source, target):
            if person not in (known := self.persons(model)):
                raise ConfigError(f"the model knows no person '{person}'", f"Choose one of: {', '.join(known)}")
        out = self._free(f"{_shortened(video.stem)}_{source}_to_{target}")
        settings = SwapSettings(to=(target,), encoding=Encoding(crf=crf))
        return run(swap(SwapJob(video, folder, out, settings, device=self._device)), watch)

    def shown(self, path: str | Path) -> str:
        """A path as the visitor should read it: from the projects folder's name on."""
        return str(Path(path).resolve().relative_to(self.projects.parent))

    def _inside(self, wanted: Callable[[Path], bool]) -> Iterator[Path]:
        """What is `wanted`, at most `_DEPTH` levels deep: nothing hidden, no results, no links to elsewhere."""
        for pattern in ("/".join("*" * depth) for depth in range(1, _DEPTH + 1)):
            for path in self.projects.glob(pattern):
                names = path.relative_to(self.projects).parts
                if names[0] == self.results.name or any(name.startswith(".") for name in names):
                    continue
                if wanted(path) and path.resolve().is_relative_to(self.projects):
                    yield path

    def _name(self, path: Path) -> str:
        return path.relative_to(self.projects).as_posix()

    def _path(self, choice: str | None, what: str) -> Path:
        """The visitor's choice as a path that exists and lies where it may. Raises ConfigError."""
        if not choice:
            raise ConfigError(f"no {what} is chosen", f"Choose a {what} first")
        try:
            path = (self.projects / choice).resolve()
            exists = path.exists()
        except (OSError, ValueError):  # too long, or with a character that no name has
            path, exists = self.projects.parent, False
        if not any(path.is_relative_to(folder) for folder in (self.projects, self._uploads)):
            raise ConfigError(f"the {what} '{choice}' lies outside the projects folder", "Choose one from the list")
        if not exists:
            raise ConfigError(
                f"the {what} '{choice}' is not there any more",
                "Press 'Look for new models and clips' and choose another",
            )
        return path

    def _free(self, stem: str) -> Path:
        """STEM.mp4 in the results, or the first of STEM_2.mp4, STEM_3.mp4... that nothing lies at."""
        names = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        paths = (self.results / f"{name}.mp4" for name in names)
        return next(path for path in paths if not path.exists() and not path.with_suffix(".sheet.png").exists())


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


def _shortened(stem: str) -> str:
    return stem.encode()[:_LONGEST_STEM].decode(errors="ignore")
