"""One call for each command, for scripts and notebooks.

    import faceswap_pipelines as fs

    fs.swap("alice.mp4", model="models/pair", out="swapped.mp4", progress=print)

Whatever a command's options can say is said by name: fields of the job (`SwapJob`, `TrainJob`, `ExtractJob`), and
settings as after `--set`. Paths may be texts. `progress` is called with each `Progress`; an exception in it stops the
job, which keeps what it has. Whatever the user can mend is raised as a `faceswap.errors.FaceswapError`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faceswap_pipelines.batching.plan import read_plan
from faceswap_pipelines.batching.run import BatchResult
from faceswap_pipelines.batching.run import batch as batch_job
from faceswap_pipelines.batching.segments import is_cut, swap_in_segments
from faceswap_pipelines.common.inputs import frame_rate
from faceswap_pipelines.common.progress import Progress, run
from faceswap_pipelines.evaluation.job import EvaluateJob, EvaluateResult, SwapFiles
from faceswap_pipelines.evaluation.run import evaluate as evaluate_job
from faceswap_pipelines.extraction.job import ExtractJob, ExtractResult
from faceswap_pipelines.extraction.run import extract as extract_job
from faceswap_pipelines.swapping.job import SwapJob, SwapResult, settings_from
from faceswap_pipelines.swapping.preview import PreviewResult
from faceswap_pipelines.swapping.preview import preview as preview_job
from faceswap_pipelines.swapping.run import swap as swap_job
from faceswap_pipelines.training.job import TrainJob, TrainResult
from faceswap_pipelines.training.run import train as train_job
from faceswap_pipelines.verification import VerifyReport
from faceswap_pipelines.verification import verify as verify_job

AnyPath = str | os.PathLike[str]
Watch = Callable[[Progress], object]

_PATHS = {"mask_out", "person"}  # options that are paths


def extract(
    inputs: AnyPath | Sequence[AnyPath], *, out: AnyPath, progress: Watch | None = None, **options: Any
) -> ExtractResult:
    """Collect one person's faces from videos, pictures or folders of them into the faceset `out`.

    `options`: fields of ExtractJob, such as frames=(0, 300), person="alice.png", device="cpu".
    """
    listed = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    job = ExtractJob(inputs=tuple(Path(path) for path in listed), out=Path(out), **_converted(options))
    return run(extract_job(job), _watch(progress))


def train(
    facesets: Mapping[str, AnyPath],
    *,
    model: AnyPath,
    consent: Mapping[str, str],
    progress: Watch | None = None,
    **options: Any,
) -> TrainResult:
    """Train `model` on facesets by person, for minutes=..., steps=... or until_plateau=True; again to go on.

    `consent` says of each person who that is, and that you asked them; "nobody" for one who does not exist. `options`:
    fields of TrainJob, such as preset="base", and settings, such as latent="vae" or learning_rate=5e-4.
    """
    fields, settings = _split(TrainJob, options)
    paths = {person: Path(folder) for person, folder in facesets.items()}
    job = TrainJob(facesets=paths, model=Path(model), consent=consent, settings=settings, **fields)
    return run(train_job(job), _watch(progress))


def swap(video: AnyPath, *, model: AnyPath, out: AnyPath, progress: Watch | None = None, **options: Any) -> SwapResult:
    """Swap faces in a video, a picture, or, with frame_rate=24 or the like, a folder of numbered pictures.

    `options`: fields of SwapJob, such as frames=(0, 100), segments=2 or overwrite=True, and settings, such as
    face="all", to=["b"], colour="none", codec="h265".
    """
    job = _swap_job(video, model, out, options)
    return run(swap_in_segments(job) if is_cut(job) else swap_job(job), _watch(progress))


def preview(
    video: AnyPath,
    *,
    model: AnyPath,
    out: AnyPath,
    count: int = 6,
    progress: Watch | None = None,
    **options: Any,
) -> PreviewResult:
    """Swap `count` frames, evenly from the video, and write them as a sheet beside `out`; `options` as for `swap`."""
    return run(preview_job(_swap_job(video, model, out, options), count), _watch(progress))


def verify(*files: AnyPath, authorities: str = "", progress: Watch | None = None) -> list[VerifyReport]:
    """What each file says of its making: credentials, invisible mark, declared source.

    `authorities`: certificates, as PEM, of signers to trust besides this user.
    """
    return run(verify_job([Path(file) for file in files], authorities), _watch(progress))


def evaluate(
    *models: AnyPath,
    facesets: Mapping[str, AnyPath] | None = None,
    swap: SwapFiles | None = None,
    out: AnyPath | None = None,
    progress: Watch | None = None,
    **options: Any,
) -> EvaluateResult:
    """How good models are on facesets that training has not seen, and a swapped video beside the one that was swapped.

    `swap`: SwapFiles(swap=..., target=..., identity=...), all paths; `out`: the report to write, an .html file;
    `options`: further fields of EvaluateJob.
    """
    job = EvaluateJob(
        models=tuple(Path(model) for model in models),
        facesets={person: Path(folder) for person, folder in (facesets or {}).items()},
        swap=swap,
        out=None if out is None else Path(out),
        **options,
    )

    return run(evaluate_job(job), _watch(progress))


def batch(
    plan: AnyPath,
    *,
    workers: int | None = None,
    device: str = "auto",
    ray: str | None = None,
    progress: Watch | None = None,
) -> BatchResult:
    """Do the jobs of a plan (JOBS.toml) that are not done yet; what became of each is in the result.

    `ray`: the address of a cluster whose machines do them, as after `--ray`.
    """
    file = Path(plan)
    state = file.with_name(f".{file.stem}.batch.db")
    return run(batch_job(lambda: read_plan(file), state, workers=workers, device=device, ray=ray), _watch(progress))


def _watch(progress: Watch | None) -> Watch:
    return progress or (lambda _progress: None)


def _swap_job(video: AnyPath, model: AnyPath, out: AnyPath, options: Mapping[str, Any]) -> SwapJob:
    fields, settings = _split(SwapJob, options)
    return SwapJob(
        video=Path(video), model=Path(model), out=Path(out), settings=settings_from(None, settings), **fields
    )


def _split(job: type[Any], options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that are fields of the job, and the others: settings, which are checked where they are used."""
    names = {field.name for field in dataclasses.fields(job)} - {"settings"}
    fields = {name: value for name, value in options.items() if name in names}
    settings = {name: value for name, value in options.items() if name not in names}
    return _converted(fields), settings


def _converted(options: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: Path(v) if name in _PATHS and isinstance(v, str) else v for name, v in options.items()}
    if isinstance(rate := values.get("frame_rate"), int | float | str):
        values["frame_rate"] = frame_rate(rate)
    return values
