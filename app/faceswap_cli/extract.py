"""The command `faceswap extract`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from faceswap.documents import one_line
from faceswap_cli.options import Device, FrameRate, Frames, Json, MaxPixels, MinFace, allow_pixels, frame_range
from faceswap_cli.terminal import job_errors, print_result, run_with_progress


def extract(
    inputs: Annotated[list[Path], typer.Argument(help="Videos, pictures, or folders of them.", metavar="VIDEO|DIR...")],
    out: Annotated[Path, typer.Option(help="The faceset: a folder, made or added to.")],
    frames: Frames = "",
    size: Annotated[
        int | None,
        typer.Option(min=64, max=1024, help="Side of the crops in pixels.", show_default="as large as each face is"),
    ] = None,
    person: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Shows whose faces are wanted.", show_default="whoever is seen most"),
    ] = None,
    skip_similar: Annotated[
        float, typer.Option(min=0, help="Leave out faces that differ less than this from the one before (try 2).")
    ] = 0.0,
    min_face: MinFace = None,
    frame_rate: FrameRate = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    json: Json = False,
) -> None:
    """Collect one person's faces from footage. Stopped or killed, it goes on where it was when run again."""
    with job_errors(json):
        allow_pixels(max_pixels)
        from faceswap_pipelines.common.inputs import frame_rate as parsed_rate
        from faceswap_pipelines.extraction.job import ExtractJob
        from faceswap_pipelines.extraction.run import extract as run_extract

        job = ExtractJob(
            inputs=tuple(inputs),
            out=out,
            frames=frame_range(frames),
            size=size,
            min_face=min_face,
            person=person,
            skip_similar=skip_similar,
            frame_rate=parsed_rate(frame_rate),
            device=device,
        )
        result = run_with_progress(run_extract(job), quiet=json)

    dropped = "".join(f", {count} {reason}" for reason, count in result.rejected.items())
    for path, reason in result.failed.items():
        print(one_line(f"Passed over {path}: {reason}"), file=sys.stderr)
    print_result(result, json, f"{result.kept} faces kept in {out}{dropped}. See them: faceswap faces sheet {out}")
