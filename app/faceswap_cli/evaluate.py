"""The command `faceswap evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceswap_cli.options import Device, Json, MaxPixels, MinFace, allow_pixels, frame_range, named_facesets
from faceswap_cli.terminal import UsageError, job_errors, print_result, run_with_progress

if TYPE_CHECKING:  # it loads torch; only its types are needed here
    from faceswap_pipelines.evaluation.job import SwapFiles


def evaluate(
    model: Annotated[
        Path | None, typer.Argument(help="A model; not needed to look at a swapped video alone.", metavar="MODEL")
    ] = None,
    clip: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FACESET", help="Faces that training has not seen, for each of its persons."),
    ] = None,
    swap: Annotated[Path | None, typer.Option(metavar="OUT", help="A swapped video.")] = None,
    target: Annotated[Path | None, typer.Option(metavar="VIDEO", help="The video that was swapped.")] = None,
    identity: Annotated[
        Path | None, typer.Option(metavar="VIDEO", help="Shows the wanted person: a video, a picture or a faceset.")
    ] = None,
    frames: Annotated[
        str, typer.Option(metavar="FIRST:STOP", help="The frames of --target that OUT shows, as for swap.")
    ] = "",
    compare: Annotated[
        list[Path] | None, typer.Option(metavar="MODEL", help="Measure this one beside it; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="HTML", help="Write a report with charts and pictures.")] = None,
    min_face: MinFace = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    json: Json = False,
) -> None:
    """Say how good a model, or a swapped video, is: likeness, motion, sharpness, flicker, seam; with a report."""
    with job_errors(json):
        allow_pixels(max_pixels)
        from faceswap_pipelines.evaluation.job import EvaluateJob
        from faceswap_pipelines.evaluation.run import evaluate as run_evaluate
        from faceswap_pipelines.evaluation.run import in_words

        job = EvaluateJob(
            models=tuple(path for path in (model, *(compare or ())) if path),
            facesets=named_facesets(clip or [], {}),
            swap=_swap_files(swap, target, identity, frames),
            out=out,
            min_face=min_face,
            device=device,
        )
        result = run_with_progress(run_evaluate(job), quiet=json)

    print_result(result, json, in_words(result))


def _swap_files(swap: Path | None, target: Path | None, identity: Path | None, frames: str) -> SwapFiles | None:
    """What --swap, --target, --identity and --frames say together. Raises UsageError."""
    from faceswap_pipelines.evaluation.job import SwapFiles

    if swap is None and target is None and identity is None and not frames:
        return None
    if swap is None or target is None:
        raise UsageError("a swap is compared with the video that was swapped", "Name both: --swap OUT --target VIDEO")
    return SwapFiles(swap=swap, target=target, identity=identity, frames=frame_range(frames))
