"""The command `faceswap batch`, and how many videos are swapped at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceswap.documents import one_line
from faceswap_cli.options import Device, Json, MaxPixels, allow_pixels
from faceswap_cli.terminal import job_errors, print_result, run_with_progress
from faceswap_pipelines.common.protocol import EXIT_ERROR

if TYPE_CHECKING:  # it loads torch; only its types are needed here
    from faceswap_pipelines.batching.plan import Task
    from faceswap_pipelines.batching.run import Outcome

BATCH_STATE = "batch.db"


def batch(
    plan: Annotated[Path, typer.Argument(help="Jobs in TOML: see docs/batch.md.", metavar="JOBS.toml")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the jobs that the plan holds.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking for new files until stopped.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time.", show_default="one for each GPU, or four cores")
    ] = None,
    device: Device = "auto",
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            help="Have the machines of a Ray cluster do them: auto (the one that this machine belongs to), local, "
            "HOST:PORT or ray://HOST:PORT. All have to see the same folders. See docs/batch.md.",
            metavar="ADDRESS",
        ),
    ] = None,
    max_pixels: MaxPixels = None,
    json: Json = False,
) -> None:
    """Do many jobs: extract, train, swap. Stopped or killed, it goes on where it was; nothing is done twice."""
    with job_errors(json):
        allow_pixels(max_pixels)
        from faceswap_pipelines.batching.plan import passed_over, read_plan

        tasks = read_plan(plan, watch)
        tell_passed_over(passed_over(plan))
        if dry_run:
            names = [{"name": task.name, "kind": task.kind, "after": list(task.after)} for task in tasks]
            print_result(names, json, "\n".join([*(task.name for task in tasks), f"{len(tasks)} jobs"]))
            return

        run_batch(
            lambda: read_plan(plan, watch),
            state=plan.with_name(f".{plan.stem}.{BATCH_STATE}"),
            workers=workers,
            device=device,
            watch=watch,
            ray=ray,
            as_json=json,
        )


def tell_passed_over(files: Sequence[Path]) -> None:
    """Say which files in folders are no footage."""
    for file in files:
        print(one_line(f"Passed over {file}: it is neither a video nor a picture"), file=sys.stderr)


def run_batch(
    plan: Callable[[], Sequence[Task]],
    *,
    state: Path,
    workers: int | None,
    device: str,
    watch: bool,
    ray: str | None = None,
    as_json: bool,
) -> None:
    """Run it and print what came of it; exit code 3 if a job failed."""
    from faceswap_pipelines.batching.run import batch as batch_job

    def tell(outcome: Outcome) -> None:
        print(one_line(f"{outcome.status}: {outcome.name}: {outcome.reason}"), file=sys.stderr, flush=True)

    result = run_with_progress(
        batch_job(plan, state, workers=workers, device=device, watch=watch, ray=ray, on_outcome=tell), quiet=as_json
    )

    lines = [
        f"{outcome.status:6} {outcome.seconds:7.1f} s  {outcome.name}{outcome.reason and f'  ({outcome.reason})'}"
        for outcome in result.outcomes
    ]
    counts = f"{result.done} done, {result.kept} done before, {result.failed} failed"
    print_result(result, as_json, "\n".join([*lines, counts]))
    if result.failed:
        raise typer.Exit(EXIT_ERROR)
