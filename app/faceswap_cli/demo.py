"""The command `faceswap demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.options import Device, Json
from faceswap_cli.terminal import job_errors, print_result, run_with_progress


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("demo"),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 3.0,
    drawn: Annotated[bool, typer.Option("--drawn", help="With two actors who are drawn by formulae.")] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Show the whole job on two people who do not exist: film, extract, train, swap. Offline, under ten minutes."""
    with job_errors(json):
        from faceswap_pipelines.demo.run import demo as run_demo

        result = run_with_progress(run_demo(out, minutes, device, drawn), quiet=json)

    print_result(result, json, f"Watch {result.film}, look at {result.sheet}, read {result.report}")
