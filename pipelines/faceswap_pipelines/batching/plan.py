"""From JOBS.toml to tasks: globs and templates expanded, dependencies found.

    [defaults.swap]                    # for every job of that kind; also defaults.extract, defaults.train
    model = "models/pair"

    [[job]]
    kind = "extract"
    inputs = ["footage/alice*.mp4"]
    out = "faces/alice"

    [[job]]
    kind = "train"
    a = "faces/alice"
    b = "faces/bob"
    model = "models/pair"
    minutes = 10

    [[job]]
    kind = "swap"                      # one task for each video
    inputs = ["in/*.mp4"]
    out = "out/{stem}_{model}_{date}.mp4"
    settings = { face = "all", colour = "reinhard" }

Paths are relative to the file. A job waits for those that make what it uses, and for those named in `after`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from glob import escape, glob
from pathlib import Path
from string import Formatter
from typing import Any

from faceswap.config import from_dict, read_toml
from faceswap.errors import ConfigError, OutputError
from faceswap.media.codecs import Codec
from faceswap.media.kinds import is_picture
from faceswap.provenance.consent import resolve_consent
from faceswap_pipelines.common.inputs import (
    files_inside,
    film_of,
    frame_range,
    frame_rate,
    is_media,
    other_files,
)
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.swapping.job import SwapJob, settings_from
from faceswap_pipelines.training.job import TrainJob

AnyJob = ExtractJob | TrainJob | SwapJob


@dataclass(frozen=True)
class Task:
    """One job with its place among the others."""

    name: str
    """Says what is done; no two tasks have the same."""
    job: AnyJob
    after: tuple[str, ...] = ()
    """Names of the tasks that have to be done before."""

    @property
    def kind(self) -> str:
        """extract, train or swap."""
        kinds: dict[type, str] = {ExtractJob: "extract", TrainJob: "train", SwapJob: "swap"}
        return kinds[type(self.job)]

    @property
    def out(self) -> Path:
        """What it makes first of all."""
        return outputs_of(self.job)[0]


@dataclass(frozen=True, kw_only=True)
class _Extract:
    inputs: tuple[str, ...]
    out: str
    name: str = ""
    after: tuple[str, ...] = ()
    frames: str = ""
    size: int | None = None
    min_face: int | None = None
    person: str | None = None
    skip_similar: float = 0.0
    frame_rate: float | str | None = None


@dataclass(frozen=True, kw_only=True)
class _Train:
    a: str
    b: str
    model: str
    name: str = ""
    after: tuple[str, ...] = ()
    persons: dict[str, str] = field(default_factory=dict)
    preset: str | None = None
    minutes: float | None = None
    steps: int | None = None
    until_plateau: bool = False
    from_scratch: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    consent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Swap:
    inputs: tuple[str, ...]
    model: str
    out: str
    name: str = ""
    after: tuple[str, ...] = ()
    frames: str = ""
    mask_out: str | None = None
    min_face: int | None = None
    frame_rate: float | str | None = None
    segments: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


_GROWING = 5.0  # seconds without a change after which a file counts as whole
_KINDS = {"extract": _Extract, "train": _Train, "swap": _Swap}


@dataclass(frozen=True)
class _Named:
    """Some tasks that one job of the file became."""

    name: str
    after: tuple[str, ...]
    tasks: list[Task]


def read_plan(file: Path, watching: bool = False) -> list[Task]:
    """The tasks of a plan, each after all that it depends on.

    While `watching` a glob may match nothing yet, and videos that were changed within the last seconds are left out:
    somebody may still be writing them. Raises ConfigError for a plan that cannot be right.
    """
    folder = file.absolute().parent

    jobs = []
    for where, spec in _specs(file):
        try:
            tasks = _expanded(spec, folder, _GROWING if watching else 0.0)
        except OSError as error:  # a name that is too long, for example
            raise ConfigError(f"{where} names what cannot be a file ({error})", "Correct its paths") from error

        if not tasks and not watching:
            raise ConfigError(f"{where}: nothing matches {' '.join(spec.inputs)}", "Correct its inputs, or use --watch")
        jobs.append(_Named(spec.name, spec.after, tasks))

    return _ordered(_with_dependencies(jobs, file), file)


def passed_over(file: Path) -> list[Path]:
    """What lies in the folders that a plan has swapped, and is neither a video nor a picture. Raises ConfigError."""
    folder = file.absolute().parent
    return other_files([folder / name for _, spec in _specs(file) if isinstance(spec, _Swap) for name in spec.inputs])


def _specs(file: Path) -> list[tuple[str, Any]]:
    """The jobs of a plan with the defaults of their kinds, and where each stands."""
    values = read_toml(file)
    defaults, given_jobs = values.get("defaults", {}), values.get("job", [])

    unknown = sorted(set(values) - {"defaults", "job"})
    if not unknown and isinstance(defaults, dict):
        unknown = [f"defaults.{kind}" for kind in sorted(set(defaults) - set(_KINDS))]
    if unknown or not isinstance(defaults, dict):
        raise ConfigError(
            f"{file} has the unknown part '{(unknown or ['defaults'])[0]}'", "It is made of [[job]] and [defaults.KIND]"
        )

    if not given_jobs or not isinstance(given_jobs, list):
        raise ConfigError(f"{file} has no jobs", 'Add one: [[job]] and below it kind = "swap", inputs, model, out')

    specs: list[tuple[str, Any]] = []
    for number, given in enumerate(given_jobs, start=1):
        where, kind = f"{file}, job {number}", given.get("kind") if isinstance(given, dict) else None
        if not isinstance(kind, str) or kind not in _KINDS:
            raise ConfigError(f"{where} is of no known kind ({kind!r})", f"Choose one of: {', '.join(_KINDS)}")

        default = defaults.get(kind, {})
        if not isinstance(default, dict):
            raise ConfigError(f"defaults.{kind} in {file} is no table", f"Write it as [defaults.{kind}]")
        own = {key: given[key] for key in given if key != "kind"}
        specs.append((where, from_dict(_KINDS[kind], default | own, where)))
    return specs


def swap_plan(videos: Sequence[Path], job: SwapJob, folder: Path) -> Callable[[], list[Task]]:
    """A task for each video (or what a glob among them names), as `job` says, into `folder` under the video's name.

    Raises ConfigError if there are none, OutputError if the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be used as a folder ({error.strerror})", "Choose another --out-dir"
        ) from error

    files = matching_files([str(video) for video in videos], Path(), as_frames=job.frame_rate is not None)
    opened = {video.resolve() for video in videos if video.is_dir()}
    if folder.resolve() in opened:
        raise ConfigError(f"the results would lie among the inputs, in {folder}", "Choose another --out-dir")
    if opened.intersection(folder.resolve().parents):  # what was made before is no input
        files = [video for video in files if folder.resolve() not in video.resolve().parents]
    if not files:
        raise ConfigError(f"nothing matches {' '.join(map(str, videos))}", "Name videos or pictures that are there")

    stems = _stems_apart(files, lambda _, stem: folder / stem)
    tasks = []
    for video in files:
        suffix = "" if video.is_dir() else f".{_suffix(video, job.settings.encoding.kind)}"
        one = replace(job, video=video, out=folder / f"{stems[video]}{suffix}")
        tasks.append(Task(f"swap {video} into {one.out}", one))
    _unique(tasks, "the inputs")

    return lambda: tasks


def _suffix(video: Path, codec: Codec) -> str:
    """The input's own, without its dot, if the result can have it."""
    own = video.suffix.lower()
    suffixes = (".png", ".jpg", ".jpeg") if is_picture(video) else codec.suffixes
    return (own if own in suffixes else suffixes[0])[1:]


def _stems_apart(files: Sequence[Path], place: Callable[[Path, str], Path]) -> dict[Path, str]:
    """What {stem} stands for, by input: its stem. But where results would take the same `place` (of an input and its
    stem), as those of a phone's photo and the video beside it, their suffixes come behind it; where those are the same,
    too, their folders before it."""
    suffixed = {file: f"{_stem(file)}_{file.suffix[1:]}".removesuffix("_") for file in files}
    foldered = {file: "_".join([*folders, suffixed[file]]) for file, folders in _folders_apart(files).items()}

    stems = {file: _stem(file) for file in files}
    for longer in (suffixed, foldered):
        places = {file: str(place(file, stem)).casefold() for file, stem in stems.items()}  # some disks know no case
        counts = Counter(places.values())
        stems = {file: longer[file] if counts[places[file]] > 1 else stem for file, stem in stems.items()}
    return stems


def _stem(file: Path) -> str:
    """Of a folder, all of its name, without what would look like a suffix."""
    return file.name.replace(".", "_") if file.is_dir() else file.stem


def _folders_apart(files: Sequence[Path]) -> dict[Path, tuple[str, ...]]:
    """The folders in which each file lies, without those in which all do."""
    parents = {file: file.absolute().parent for file in files}
    shared = Path(os.path.commonpath(parents.values())) if parents else Path()
    return {file: parent.relative_to(shared).parts for file, parent in parents.items()}


def matching_files(
    patterns: Iterable[str],
    folder: Path,
    unchanged_for: float = 0.0,
    *,
    open_folders: bool = True,
    as_frames: bool = False,
) -> list[Path]:
    """The videos and pictures that some globs name, and folders if these are opened; a plain name stands for itself,
    there or not.

    Of what a glob or a folder names, that which was changed within the last `unchanged_for` seconds is left out; with
    `as_frames` the pictures in a folder are those of a film: it stands for them.
    """
    paths: list[Path] = []
    for pattern in patterns:
        itself = folder / pattern

        if open_folders and itself.is_dir():
            candidates = files_inside(itself)
        elif itself.exists() or not any(sign in pattern for sign in "*?["):
            paths += [itself] if itself not in paths else []
            continue
        else:
            matches = sorted(glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207  absolute ones, too
            candidates = [folder / match for match in matches]
            if as_frames:  # a glob may name their folders, too
                candidates = [file for path in candidates for file in (files_inside(path) if path.is_dir() else [path])]

        films = {path: film_of(path) if as_frames else path for path in candidates if is_media(path)}
        growing = {film for path, film in films.items() if not _is_unchanged(path, unchanged_for)}
        paths += [film for film in dict.fromkeys(films.values()) if film not in growing and film not in paths]

    return paths


def _is_unchanged(path: Path, seconds: float) -> bool:
    return path.is_file() and time.time() - path.stat().st_mtime >= seconds


def _expanded(spec: _Extract | _Train | _Swap, folder: Path, unchanged_for: float) -> list[Task]:
    if isinstance(spec, _Extract):
        return _extract(spec, folder, unchanged_for)
    return _swap(spec, folder, unchanged_for) if isinstance(spec, _Swap) else _train(spec, folder)


def _extract(spec: _Extract, folder: Path, unchanged_for: float) -> list[Task]:
    each = any(f"{{{name}}}" in spec.out for name in ("stem", "suffix", "parent"))
    rate = frame_rate(spec.frame_rate)
    inputs = matching_files(
        spec.inputs, folder, unchanged_for, open_folders=each or rate is not None, as_frames=rate is not None
    )
    person = None if spec.person is None else folder / spec.person
    sets = [(path,) for path in inputs] if each else [tuple(inputs)] if inputs else []

    def place(path: Path, stem: str) -> Path:
        return folder / _filled(spec.out, path, stem=stem, suffix=path.suffix[1:], model="")

    stems = _stems_apart(inputs, place) if each else dict.fromkeys(inputs, "")
    tasks = []
    for some in sets:
        out = place(some[0], stems[some[0]])
        job = ExtractJob(
            inputs=some,
            out=out,
            frames=frame_range(spec.frames),
            size=spec.size,
            min_face=spec.min_face,
            person=person,
            skip_similar=spec.skip_similar,
            frame_rate=rate,
        )
        tasks.append(Task(f"extract {out}", job))
    return tasks


def _train(spec: _Train, folder: Path) -> list[Task]:
    facesets = {person: folder / path for person, path in ({"a": spec.a, "b": spec.b} | spec.persons).items()}
    model = folder / spec.model
    resolve_consent(model, spec.consent, facesets)  # now, not after hours of extracting

    job = TrainJob(
        facesets=facesets,
        model=model,
        preset=spec.preset,
        minutes=spec.minutes,
        steps=spec.steps,
        until_plateau=spec.until_plateau,
        from_scratch=spec.from_scratch,
        settings=spec.settings,
        consent=spec.consent,
    )

    return [Task(f"train {model}", job)]


def _swap(spec: _Swap, folder: Path, unchanged_for: float) -> list[Task]:
    model, settings = folder / spec.model, settings_from(None, spec.settings)
    if settings.picture:
        way = settings.face.partition("=")[0]
        settings = replace(settings, face=f"{way}={folder / settings.picture}")

    rate = frame_rate(spec.frame_rate)
    videos = matching_files(spec.inputs, folder, unchanged_for, as_frames=rate is not None)

    def place(template: str, video: Path, stem: str) -> Path:
        suffix = _suffix(video, settings.encoding.kind)
        return folder / _filled(template, video, stem=stem, suffix=suffix, model=model.name)

    stems = _stems_apart(videos, lambda video, stem: _beside(place(spec.out, video, stem)))
    tasks = []
    for video in videos:
        out = place(spec.out, video, stems[video])
        mask_out = None if spec.mask_out is None else place(spec.mask_out, video, stems[video])

        for path in (out, mask_out or out):
            if any(_covers(pattern, path, folder) for pattern in spec.inputs):
                raise ConfigError(f"the output {path} would become an input", "Write outputs into another folder")

        job = SwapJob(
            video=video,
            model=model,
            out=out,
            settings=settings,
            frames=frame_range(spec.frames),
            mask_out=mask_out,
            min_face=spec.min_face,
            frame_rate=rate,
            segments=spec.segments,
        )
        tasks.append(Task(f"swap {video} into {out}", job))

    return tasks


def _covers(pattern: str, path: Path, folder: Path) -> bool:
    """Whether a path, if it were there, would be among those that a glob or a folder's name in `folder` stands for."""
    if path == folder / pattern or ((folder / pattern).is_dir() and path.is_relative_to(folder / pattern)):
        return True

    def match(patterns: Sequence[str], names: Sequence[str]) -> bool:
        if not patterns or not names:
            return not patterns and not names
        if patterns[0] == "**":  # any number of folders; at the end also all that is in them
            return not patterns[1:] or match(patterns[1:], names) or match(patterns, names[1:])
        return fnmatch(names[0], patterns[0]) and match(patterns[1:], names[1:])

    return match(Path(escape(str(folder)), pattern).parts, path.parts)


def _filled(template: str, path: Path, *, stem: str, suffix: str, model: str) -> str:
    """The template with what is known of an input. {date} is that of its last change, so that it stays the same."""
    changed = path.stat().st_mtime if path.exists() else time.time()
    values = {
        "stem": stem,
        "suffix": suffix,
        "parent": path.absolute().parent.name,
        "model": model,
        "date": time.strftime("%Y-%m-%d", time.localtime(changed)),
    }

    remedy = f"Use {', '.join(f'{{{name}}}' for name in values)}"
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"'{template}' cannot be filled in ({error})", remedy) from error
    for _, name, width, conversion in parts:  # a width could ask for gigabytes of spaces
        if name is not None and (name not in values or width or conversion):
            raise ConfigError(f"'{template}' cannot be filled in ({name})", remedy)
    return template.format_map(values)


def _with_dependencies(jobs: list[_Named], file: Path) -> list[Task]:
    """All tasks, each after those that make what it uses and those that its job names."""
    tasks = _unique([task for job in jobs for task in job.tasks], str(file))
    named: Mapping[str, list[Task]] = {job.name: job.tasks for job in jobs if job.name}
    makers = {task.out.resolve(): task.name for task in tasks}

    complete = []
    for job in jobs:
        if unknown := next((name for name in job.after if name not in named), None):
            raise ConfigError(f"{file} has no job named '{unknown}'", f"There are: {', '.join(named) or 'none'}")

        asked = [task.name for name in job.after for task in named[name]]
        for task in job.tasks:
            used = [makers[path.resolve()] for path in inputs_of(task.job) if path.resolve() in makers]
            complete.append(replace(task, after=tuple(dict.fromkeys(asked + used))))
    return complete


def inputs_of(job: AnyJob) -> list[Path]:
    """The files and folders that it reads."""
    if isinstance(job, TrainJob):
        return list(job.facesets.values())
    return [job.video, job.model] if isinstance(job, SwapJob) else list(job.inputs)


def outputs_of(job: AnyJob) -> list[Path]:
    """The files and folders that it makes, without those that lie beside them."""
    if isinstance(job, TrainJob):
        return [job.model]
    return [job.out, job.mask_out] if isinstance(job, SwapJob) and job.mask_out else [job.out]


def _unique(tasks: list[Task], where: str) -> list[Task]:
    taken: set[Path] = set()
    for task in tasks:
        outs = [_beside(path) if task.kind == "swap" else path for path in outputs_of(task.job)]

        if clash := next((path for path in outs if path in taken), None):
            raise ConfigError(
                f"in {where} two jobs would write {clash}",
                "Put {stem} into out and mask_out (and {suffix} or {parent}), or name different outputs",
            )
        taken.update(outs)

    return tasks


def _beside(out: Path) -> Path:
    """An output without its suffix: the files beside it, such as its tracks, are named by its stem."""
    return out.with_suffix("")


def _ordered(tasks: list[Task], file: Path) -> list[Task]:
    """Each task after those that it depends on, otherwise as in the file."""
    ordered: list[Task] = []
    waiting = list(tasks)
    while waiting:
        done = {task.name for task in ordered}
        ready = next((task for task in waiting if done.issuperset(task.after)), None)
        if ready is None:
            raise ConfigError(f"in {file} some jobs wait for each other ({waiting[0].name})", "Correct their 'after'")
        ordered.append(ready)
        waiting.remove(ready)
    return ordered
