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

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import glob
from pathlib import Path
from typing import Any

from faceswap.config import from_dict, read_toml
from faceswap.errors import ConfigError, OutputError
from faceswap.media.pictures import is_picture, is_video
from faceswap_pipelines.extract import ExtractJob
from faceswap_pipelines.job import frame_range
from faceswap_pipelines.swap import SwapJob, settings_from
from faceswap_pipelines.train_setup import TrainJob

AnyJob = ExtractJob | TrainJob | SwapJob


@dataclass(frozen=True)
class Task:
    """One job with its place among the others."""

    name: str
    """Says what is done; no two tasks have the same."""
    kind: str
    """extract, train or swap."""
    job: AnyJob
    out: Path
    """What it makes."""
    after: tuple[str, ...] = ()
    """Names of the tasks that have to be done before."""


@dataclass(frozen=True)
class _Extract:
    inputs: tuple[str, ...]
    out: str
    name: str = ""
    after: tuple[str, ...] = ()
    frames: str = ""
    size: int = 256
    min_face: int | None = None
    person: str | None = None
    skip_similar: float = 0.0


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class _Swap:
    inputs: tuple[str, ...]
    model: str
    out: str
    name: str = ""
    after: tuple[str, ...] = ()
    frames: str = ""
    mask_out: str | None = None
    min_face: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)


_KINDS = {"extract": _Extract, "train": _Train, "swap": _Swap}


@dataclass(frozen=True)
class _Named:
    """Some tasks that one job of the file became."""

    name: str
    after: tuple[str, ...]
    tasks: list[Task]


def read_plan(file: Path, settled: float = 0.0) -> list[Task]:
    """The tasks of a plan, each after all that it depends on.

    Videos that were changed within the last `settled` seconds are left out: somebody may still be writing them.
    Raises ConfigError for a plan that cannot be right.
    """
    values = read_toml(file)
    if unknown := sorted(set(values) - {"defaults", "job"}):
        raise ConfigError(f"{file} has the unknown part '{unknown[0]}'", "It is made of [[job]] and [defaults.KIND]")
    if not values.get("job"):
        raise ConfigError(f"{file} has no jobs", 'Add one: [[job]] and below it kind = "swap", inputs, model, out')
    jobs = []
    for number, given in enumerate(values["job"], start=1):
        where, kind = f"{file}, job {number}", given.get("kind")
        if kind not in _KINDS:
            raise ConfigError(f"{where} is of no known kind ({kind!r})", f"Choose one of: {', '.join(_KINDS)}")
        merged = values.get("defaults", {}).get(kind, {}) | {
            key: value for key, value in given.items() if key != "kind"
        }
        spec: Any = from_dict(_KINDS[kind], merged, where)
        tasks = _expanded(spec, file.absolute().parent, settled)
        jobs.append(_Named(spec.name, spec.after, tasks))
    return _ordered(_with_dependencies(jobs, file), file)


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
    files = found([str(video) for video in videos], Path())
    if not files:
        raise ConfigError(f"nothing matches {' '.join(map(str, videos))}", "Name videos or pictures that are there")
    tasks = []
    for video in files:
        suffix = video.suffix if is_picture(video) or video.suffix in (".mp4", ".mov", ".mkv") else ".mp4"
        one = replace(job, video=video, out=folder / f"{video.stem}{suffix}")
        tasks.append(Task(f"swap {video} into {one.out}", "swap", one, one.out))
    _unique(tasks, "the inputs")
    return lambda: tasks


def found(patterns: Iterable[str], folder: Path, settled: float = 0.0) -> list[Path]:
    """The videos and pictures that some globs name, in order; a plain name stands for itself, there or not."""
    paths: list[Path] = []
    for pattern in patterns:
        itself = folder / pattern
        if itself.exists() or not any(sign in pattern for sign in "*?["):
            some = [itself]
        else:
            matches = sorted(glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207  absolute ones, too
            media = (folder / match for match in matches)
            some = [path for path in media if (is_video(path) or is_picture(path)) and _is_settled(path, settled)]
        paths += [path for path in some if path not in paths]
    return paths


def _is_settled(path: Path, seconds: float) -> bool:
    return path.is_file() and time.time() - path.stat().st_mtime >= seconds


def _expanded(spec: _Extract | _Train | _Swap, folder: Path, settled: float) -> list[Task]:
    if isinstance(spec, _Extract):
        return _extract(spec, folder, settled)
    return _swap(spec, folder, settled) if isinstance(spec, _Swap) else _train(spec, folder)


def _extract(spec: _Extract, folder: Path, settled: float) -> list[Task]:
    inputs = found(spec.inputs, folder, settled)
    person = None if spec.person is None else folder / spec.person
    sets = [(path,) for path in inputs] if "{stem}" in spec.out else [tuple(inputs)] if inputs else []
    tasks = []
    for some in sets:
        out = folder / _filled(spec.out, some[0], "")
        job = ExtractJob(some, out, frame_range(spec.frames), spec.size, spec.min_face, person, spec.skip_similar)
        tasks.append(Task(f"extract {out}", "extract", job, out))
    return tasks


def _train(spec: _Train, folder: Path) -> list[Task]:
    facesets = {person: folder / path for person, path in ({"a": spec.a, "b": spec.b} | spec.persons).items()}
    model = folder / spec.model
    job = TrainJob(
        facesets,
        model,
        spec.preset,
        spec.minutes,
        spec.steps,
        spec.until_plateau,
        from_scratch=spec.from_scratch,
        settings=spec.settings,
    )
    return [Task(f"train {model}", "train", job, model)]


def _swap(spec: _Swap, folder: Path, settled: float) -> list[Task]:
    model, settings = folder / spec.model, settings_from(None, spec.settings)
    tasks = []
    for video in found(spec.inputs, folder, settled):
        out = folder / _filled(spec.out, video, model.name)
        mask_out = None if spec.mask_out is None else folder / _filled(spec.mask_out, video, model.name)
        job = SwapJob(video, model, out, settings, frame_range(spec.frames), mask_out=mask_out, min_face=spec.min_face)
        tasks.append(Task(f"swap {video} into {out}", "swap", job, out))
    return tasks


def _filled(template: str, path: Path, model: str) -> str:
    """The template with {stem}, {model} and {date}: that of the input's last change, so that it stays the same."""
    changed = path.stat().st_mtime if path.exists() else time.time()
    values = {"stem": path.stem, "model": model, "date": time.strftime("%Y-%m-%d", time.localtime(changed))}
    try:
        return template.format_map(values)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise ConfigError(f"'{template}' cannot be filled in ({error})", "Use {stem}, {model} and {date}") from error


def _with_dependencies(jobs: list[_Named], file: Path) -> list[Task]:
    """All tasks, each after those that make what it uses and those that its job names."""
    tasks = _unique([task for job in jobs for task in job.tasks], str(file))
    named: Mapping[str, list[Task]] = {job.name: job.tasks for job in jobs if job.name}
    makers = {task.out.resolve(): task.name for task in tasks if task.kind != "swap"}
    complete = []
    for job in jobs:
        if unknown := next((name for name in job.after if name not in named), None):
            raise ConfigError(f"{file} has no job named '{unknown}'", f"There are: {', '.join(named) or 'none'}")
        asked = [task.name for name in job.after for task in named[name]]
        for task in job.tasks:
            used = [makers[path.resolve()] for path in _uses(task.job) if path.resolve() in makers]
            complete.append(replace(task, after=tuple(dict.fromkeys(asked + used))))
    return complete


def _uses(job: AnyJob) -> list[Path]:
    if isinstance(job, TrainJob):
        return list(job.facesets.values())
    return [job.model] if isinstance(job, SwapJob) else []


def _unique(tasks: list[Task], where: str) -> list[Task]:
    outs: dict[Path, str] = {}
    for task in tasks:
        if task.out in outs:
            raise ConfigError(
                f"in {where} two jobs would write {task.out}", "Put {stem} into out, or name different outputs"
            )
        outs[task.out] = task.name
    return tasks


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
