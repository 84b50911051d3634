"""The command `faceswap verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.options import Json, MaxPixels, allow_pixels
from faceswap_cli.terminal import job_errors, print_result, run_with_progress
from faceswap_pipelines.common.protocol import EXIT_ERROR


def verify(
    files: Annotated[list[Path], typer.Argument(help="Pictures and videos, of whatever origin.", metavar="FILE...")],
    authority: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Certificates of signers to trust besides yourself.")
    ] = None,
    max_pixels: MaxPixels = None,
    json: Json = False,
) -> None:
    """Tell what files say of their making: signed credentials, the invisible mark, a declaration in their metadata."""
    with job_errors(json):
        allow_pixels(max_pixels)
        from faceswap_pipelines.verification import in_words, read_authority
        from faceswap_pipelines.verification import verify as verify_job

        reports = run_with_progress(verify_job(files, read_authority(authority)), quiet=json)

    print_result(reports, json, "\n\n".join(map(in_words, reports)))
    if any(report.problem for report in reports):
        raise typer.Exit(EXIT_ERROR)
