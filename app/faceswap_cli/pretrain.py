"""`python -m faceswap_cli.pretrain`: make the base weights that ship. No command of `faceswap`: users need it not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.options import Device, Json
from faceswap_cli.terminal import job_errors, print_result, run_with_progress
from faceswap_pipelines.common.cpu import keep_freed_memory, sleep_while_waiting


def main(
    portraits: Annotated[Path, typer.Option(help="A folder of portraits, or of folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")],
    preset: Annotated[str, typer.Option(help="nano or base.")] = "nano",
    minutes: Annotated[float | None, typer.Option(help="How long to train, earlier runs counted.")] = None,
    steps: Annotated[int | None, typer.Option(help="How many steps instead.")] = None,
    begin: Annotated[Path | None, typer.Option(metavar="FILE", help="Base weights to begin with.")] = None,
    grow: Annotated[
        str | None,
        typer.Option(metavar="PRESET", help="Trained in WORK before, half the size: begin with what it knows."),
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Learn faces from portraits of many people. Ctrl-C stops and saves; run again, it goes on."""
    keep_freed_memory()
    sleep_while_waiting()
    with job_errors(json):
        from faceswap_pipelines.pretraining.job import PretrainJob
        from faceswap_pipelines.pretraining.run import pretrain

        job = PretrainJob(
            portraits=portraits,
            out=out,
            preset=preset,
            minutes=minutes,
            steps=steps,
            begin=begin,
            grow=grow,
            device=device,
        )
        result = run_with_progress(pretrain(job), quiet=json)

    print_result(
        result,
        json,
        f"{result.weights}: SSIM of unknown people {result.held_out_likeness:.3f}. {result.sha256}",
    )


if __name__ == "__main__":
    typer.run(main)
