"""`python -m faceswap_cli.pretrain_occlusion`: make the weights that see what lies in front of faces, which ship."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.options import Json
from faceswap_cli.terminal import job_errors, print_result, run_with_progress
from faceswap_pipelines.common.cpu import keep_freed_memory, sleep_while_waiting


def main(
    portraits: Annotated[Path, typer.Option(help="A folder of portraits, or of folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")],
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 20.0,
    begin: Annotated[Path | None, typer.Option(metavar="FILE", help="Weights to begin with.")] = None,
    json: Json = False,
) -> None:
    """Learn to see hands, hair and things before faces, from drawn ones over portraits."""
    keep_freed_memory()
    sleep_while_waiting()
    with job_errors(json):
        from faceswap_pipelines.pretraining.occlusion import OcclusionJob, pretrain_occlusion

        job = OcclusionJob(portraits=portraits, out=out, minutes=minutes, begin=begin)
        result = run_with_progress(pretrain_occlusion(job), quiet=json)

    print_result(
        result,
        json,
        f"{result.weights}: {result.megabytes:.2f} MB, {result.steps} steps, {result.sha256}\n"
        f"things trained on: {result.trained}\nthings held out: {result.held_out}\nlook at {result.sheet}",
    )


if __name__ == "__main__":
    typer.run(main)
