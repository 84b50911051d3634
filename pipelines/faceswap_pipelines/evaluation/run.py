"""Evaluate: how good a model and its swaps are."""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch

from faceswap.quality.scales import CROP, LIKENESS, REBUILT, SWAP
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.evaluation.faces import Rebuilt, measure_faces
from faceswap_pipelines.evaluation.job import (
    THE_SWAP,
    EvaluateJob,
    EvaluateResult,
    ModelQuality,
    SwapFiles,
    SwapQuality,
    Verdict,
    verdicts_of,
)
from faceswap_pipelines.evaluation.persons import Wanted, drawn_people, persons_of, wanted_person
from faceswap_pipelines.evaluation.report import check_report, write_page
from faceswap_pipelines.evaluation.swaps import SwapPart, check_files, summarise, watch_swap, worst_frames

_WORST = 3  # frames of each measure


def evaluate(job: EvaluateJob) -> Run[EvaluateResult]:
    """Measure what the job names, and write its report.

    Raises MediaError, FaceError or ModelError for what cannot be read or compared, OutputError for a report that cannot
    be written.
    """
    start, device = time.monotonic(), pick_device(job.device)
    check_report(job)
    if job.swap:
        check_files(job.swap)

    models: list[ModelQuality] = []
    shown: dict[str, Rebuilt] = {}
    if job.facesets:
        models, shown = yield from measure_faces(job.models, job.facesets, device)

    part = (yield from _watch(job, job.swap, device)) if job.swap else None
    swap = part.quality if part else None
    verdicts = tuple(_verdicts(models, swap))

    if job.out:
        yield Progress(title=f"Writing {job.out.name}", done=0, total=None, unit="")
        write_page(job, models, shown, part, verdicts)
    worst = {} if part is None else _numbers(part)
    return EvaluateResult(
        models=tuple(models),
        swap=swap,
        verdicts=verdicts,
        worst=worst,
        report=str(job.out or ""),
        seconds=time.monotonic() - start,
    )


def _watch(job: EvaluateJob, files: SwapFiles, device: torch.device) -> Run[SwapPart]:
    """Everything about the swapped video."""
    finder = FaceFinder(device, job.min_face)
    wanted: Wanted | None = None
    gallery = {}
    if files.identity is not None:
        yield Progress(title="Looking at who is wanted", done=0, total=None, unit="")
        wanted = wanted_person(files.identity, finder, device)
        gallery = drawn_people(device) | persons_of(list(job.facesets.values()), device)

    frames = yield from watch_swap(files, finder, device)

    return SwapPart(
        frames=frames,
        quality=summarise(frames, wanted, gallery),
        wanted=wanted,
        worst=worst_frames(frames, wanted, _WORST),
    )


def _numbers(part: SwapPart) -> dict[str, list[int]]:
    """The worst frames by their numbers in the target."""
    return {name: [int(part.frames.indices[place]) for place, _ in found] for name, found in part.worst.items()}


def _verdicts(models: list[ModelQuality], swap: SwapQuality | None) -> Iterable[Verdict]:
    """Of the swap, and of the first model."""
    if swap is not None:
        yield from verdicts_of(THE_SWAP, LIKENESS, swap.likeness) if swap.likeness else ()
        yield from verdicts_of(THE_SWAP, SWAP, swap)

    for model in models[:1]:
        for person, rebuilt in model.rebuilt.items():
            yield from verdicts_of(person, REBUILT, rebuilt)
        for name, swapped in model.swapped.items():
            yield from verdicts_of(name, CROP, swapped)


def in_words(result: EvaluateResult) -> str:
    """The result for a terminal: a line for each measure, under what it is of."""
    lines, of = [], ""
    for verdict in result.verdicts:
        if verdict.of != of:
            of = verdict.of
            lines.append(f"{of}:")
        lines.append(f"  {verdict.title:38} {verdict.text:>12}  {verdict.grade:5} (good: {verdict.aim})")

    if result.report:
        lines.append(f"Look at {result.report}")
    return "\n".join(lines)
