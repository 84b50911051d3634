"""Demo: the whole job on two people who do not exist, from nothing, without a network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from faceswap.config import SwapConfig
from faceswap.errors import OutputError
from faceswap.media.codecs import Encoding
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap.provenance.consent import NOBODY
from faceswap.types import Picture
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.marks import seal_of, write_marked, write_marked_film
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.demo import people
from faceswap_pipelines.demo.actors import LEADS, Actor, frames
from faceswap_pipelines.demo.soundtrack import soundtrack
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.swapping.job import SwapJob, SwapResult, SwapSettings
from faceswap_pipelines.swapping.run import swap
from faceswap_pipelines.training.job import TrainJob, TrainResult
from faceswap_pipelines.training.run import train

_FRAMES = 400
_SWAPPED = 250  # of the first actor's frames
_DRAWN_SIZE = 256
_SHOWN = 256  # pixels of a picture in the sheet
_RATE = Fraction(25)


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """Where everything is, and how long each part took."""

    swap: str
    film: str
    """The video, the swap, and the person who was put in, side by side."""
    sheet: str
    report: str
    seconds: dict[str, float]
    found: dict[str, float]
    """Share of each actor's frames with a kept face."""


@dataclass(frozen=True)
class _Lead:
    """Somebody who does not exist, and their film."""

    name: str
    film: Callable[[], Iterator[Picture]]


def leads(drawn: bool) -> list[str]:
    """What the two who are filmed are called: people of portraits, or actors who are drawn by formulae."""
    return [lead.name for lead in _leads(drawn)]


def _leads(drawn: bool) -> list[_Lead]:
    if not drawn:
        return [_Lead(name, partial(people.film, name, _FRAMES)) for name in people.PEOPLE]
    return [_Lead(actor.name, partial(_drawn, actor, seed)) for seed, actor in enumerate(LEADS)]


def _drawn(actor: Actor, seed: int) -> Iterator[Picture]:
    return (rendering.image for rendering in frames(actor, _FRAMES, _DRAWN_SIZE, seed))


def demo(out: Path, minutes: float, device: str = "auto", drawn: bool = False) -> Run[DemoResult]:
    """Film two people who do not exist, extract their faces, train for `minutes`, swap one into the other's clip.

    They are portraits that come to life; `drawn`, two actors that are drawn by formulae. What an earlier run has
    finished is not done again. Raises OutputError if `out` cannot be used.
    """
    cast = _leads(drawn)
    clips = {person: out / f"{lead.name}.mp4" for person, lead in zip("ab", cast, strict=True)}
    facesets = {person: out / "faces" / person for person in clips}

    seconds: dict[str, float] = {}
    found: dict[str, float] = {}

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be used as a folder ({error})", "Choose another with --out") from error

    # Film both, and find their faces.
    for number, (person, clip) in enumerate(clips.items()):
        start = time.monotonic()
        yield Progress(title=f"Filming {clip.stem}", done=number, total=len(clips), unit="clips")
        if not clip.exists():
            sound = soundtrack(float(_FRAMES / _RATE), seed=number)
            write_clip(clip, cast[number].film(), _RATE, Encoding(crf=16), sound)
        result = yield from extract(ExtractJob(inputs=(clip,), out=facesets[person], device=device))
        found[clip.stem] = result.kept / _FRAMES
        seconds[f"{clip.stem}: filming and extracting"] = time.monotonic() - start

    # Learn them.
    start = time.monotonic()
    trained = yield from train(
        TrainJob(
            facesets=facesets,
            model=out / "model",
            minutes=minutes,
            settings={"occlusion": not drawn},  # who knows photographs takes drawn skin for a thing
            device=device,
            consent=dict.fromkeys(clips, NOBODY),
        )
    )
    seconds["training"] = time.monotonic() - start

    # Swap, and show it.
    start = time.monotonic()
    look = SwapConfig(occlusion=0.0 if drawn else 1.0)
    job = SwapJob(
        video=clips["a"],
        model=out / "model",
        out=out / "swap.mp4",
        settings=SwapSettings(look=look),
        frames=(0, _SWAPPED),
        overwrite=True,
        device=device,
    )
    swapped = yield from swap(job)
    seconds["swapping"] = time.monotonic() - start

    # Beside what they were made from: pictures, and a film.
    picture, film, seal = out / "sheet.png", out / "side_by_side.mp4", seal_of(job.model, job.video)
    shown = [clips["a"], out / "swap.mp4", clips["b"]]
    write_marked(picture, _sheet(*shown), seal)
    yield Progress(title="Laying the films side by side", done=0, total=None, unit="")
    frames_of = (read_frames(path, 0, _SWAPPED) for path in shown)
    triples = (np.hstack([frame.image for frame in triple]) for triple in zip(*frames_of, strict=True))
    write_marked_film(film, triples, _RATE, seal, soundtrack(float(_SWAPPED / _RATE), seed=0))

    report = out / "report.md"
    report.write_text(_report(clips, found, trained, swapped, seconds), encoding="utf-8")
    return DemoResult(
        swap=swapped.out, film=str(film), sheet=str(picture), report=str(report), seconds=seconds, found=found
    )


def _sheet(source: Path, swapped: Path, target: Path) -> Picture:
    """The video's person, the swap, and the person who was put in, at the same moments."""
    moments = {round(_SWAPPED * (i + 0.5) / 6) for i in range(6)}
    rows = [
        (f"{source.stem}, as filmed", source),
        (f"{source.stem} with the face of {target.stem}", swapped),
        (f"{target.stem}, for comparison", target),
    ]

    return sheet(
        [(title, [f.image for f in read_frames(path, 0, _SWAPPED) if f.index in moments]) for title, path in rows],
        side=_SHOWN,
    )


def _report(
    clips: dict[str, Path],
    found: dict[str, float],
    trained: TrainResult,
    swapped: SwapResult,
    seconds: dict[str, float],
) -> str:
    lines = ["# Demo report", ""]

    lines += [
        "Two people who do not exist: " + " and ".join(c.stem for c in clips.values()) + ".",
        "",
    ]
    lines += [f"- faces kept of {name}: {share:.1%} of the frames" for name, share in found.items()]

    losses = ", ".join(f"{person} {loss:.3f}" for person, loss in trained.losses.items())
    lines += [
        f"- training: {trained.steps} steps, {trained.faces_per_second:.0f} faces/s, last losses {losses}",
        f"- swapping: {swapped.swapped} of {swapped.frames} frames, {swapped.frames_per_second:.1f} frames/s",
        "",
        "| part | seconds |",
        "|---|---|",
        *(f"| {part} | {took:.0f} |" for part, took in seconds.items()),
        "",
        "swap.mp4 is the result, side_by_side.mp4 and sheet.png show it beside what it was made from,"
        " model/previews how it was learnt.",
    ]

    return "\n".join(lines) + "\n"
