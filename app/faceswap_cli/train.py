"""The command `faceswap train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.consent import consented
from faceswap_cli.options import Device, Json, named_facesets, settings
from faceswap_cli.terminal import job_errors, print_result, run_with_progress, usage_errors

_DEFAULT_MINUTES = 10.0


def train(
    a: Annotated[Path, typer.Option("--a", help="Faceset of person a.", metavar="FACESET")],
    b: Annotated[Path, typer.Option("--b", help="Faceset of person b.", metavar="FACESET")],
    model: Annotated[Path, typer.Option(help="Folder of the model: made, or trained further.")],
    person: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FACESET", help="A further person; repeatable.")
    ] = None,
    consent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WHO",
            help='Who a person is, saying that they agreed: a="Jane Doe"; or a=nobody, drawn or generated. Repeatable.',
            show_default="asked once",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="nano (256 px), base and large (512): for a new model.", show_default="nano; base with a GPU"
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Train this long; the schedule ends with it.", show_default="10")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Train this many steps instead.")] = None,
    until_plateau: Annotated[
        bool, typer.Option("--until-plateau", help="Train until faces that are held out no longer get better.")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin with random weights, not with those that know faces.")
    ] = False,
    resume: Annotated[bool, typer.Option(help="Go on with the model if it is there already.")] = True,
    size: Annotated[int | None, typer.Option(help="Another picture side: a multiple of 16.")] = None,
    latent: Annotated[
        str | None, typer.Option(help="plain, sparse, vae, vq or vq2 (two levels).", show_default="plain")
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option(help="separate (one for each person) or conditional (one for all).", show_default="separate"),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Faces of each person in a step.", show_default="what suits the device and its memory"),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of all randomness in training.", show_default="0")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, repeatable: beta=4, pixel_loss=mse, corruption=0... MODEL/config.toml shows all.",
        ),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write MODEL/tensorboard, too.")] = False,
    save_every: Annotated[float, typer.Option(min=0, help="Seconds between checkpoints.")] = 30.0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Learn two (or more) persons' faces. Ctrl-C stops and saves; run again, it goes on.

    With several GPUs or machines: torchrun --nproc-per-node N -m faceswap_cli train ...
    """
    with job_errors(json):
        from faceswap_pipelines.training.job import TrainJob
        from faceswap_pipelines.training.prepare import budget_of
        from faceswap_pipelines.training.run import train as run_train

        # Settings that have options of their own, and others.
        options = {"size": size, "latent": latent, "decoder": decoder, "batch_size": batch, "seed": seed}
        changed = {name: value for name, value in options.items() if value is not None}
        if minutes is None and steps is None and not until_plateau:
            minutes = _DEFAULT_MINUTES

        facesets = named_facesets(person or [], {"a": a, "b": b})
        job = TrainJob(
            facesets=facesets,
            model=model,
            preset=preset,
            minutes=minutes,
            steps=steps,
            until_plateau=until_plateau,
            resume=resume,
            from_scratch=from_scratch,
            settings=changed | settings(set_ or []),
            tensorboard=tensorboard,
            device=device,
            save_every=save_every,
            consent=consented(consent or [], model, facesets, ask=not json),
        )
        with usage_errors():
            budget_of(job)
        result = run_with_progress(run_train(job), quiet=json)

    then = f"faceswap swap VIDEO --model {model} --out OUT.mp4"
    print_result(result, json, f"Trained {result.steps} steps. Look at {result.preview}; then: {then}")
