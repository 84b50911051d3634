"""The command line. Everything heavy is imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import faceswap
from faceswap.documents import one_line
from faceswap.errors import ConfigError
from faceswap_pipelines.cli_faces import faces_app
from faceswap_pipelines.processor import keep_freed_memory
from faceswap_pipelines.terminal import EXIT_ERROR, Device, Json, finish, job_errors, show

if TYPE_CHECKING:  # it loads torch; only its types are needed here
    from faceswap_pipelines.batch.batch import Outcome
    from faceswap_pipelines.batch.plan import Task

BATCH_STATE = "batch.db"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Swap faces in video: one shared encoder, one decoder per person, trained in minutes.",
)
app.add_typer(faces_app, name="faces")

Frames = Annotated[str, typer.Option(metavar="FIRST:STOP", help="Only these frames of a video, for example 0:300.")]
MinFace = Annotated[
    int | None,
    typer.Option(min=8, help="Look for faces down to this width in pixels.", show_default="1/8 of the height"),
]


def main() -> None:
    """The entry point `faceswap`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, also before there is anything to save
    keep_freed_memory()
    if isinstance(sys.stdout, TextIOWrapper):  # it is told names of files, which need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 otherwise writes its settings over the progress bars
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(faceswap.__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of the program itself."""


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("demo"),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 3.0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Show the whole job on two people who do not exist: film, extract, train, swap. Offline, under ten minutes."""
    with job_errors():
        from faceswap_pipelines.demo import demo as demo_job

        result = show(demo_job(out, minutes, device), json)
    finish(result, json, f"Watch {result.swap}, look at {result.sheet}, read {result.report}")


@app.command()
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
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Collect one person's faces from footage. Stopped or killed, it goes on where it was when run again."""
    with job_errors():
        from faceswap_pipelines.extract import ExtractJob
        from faceswap_pipelines.extract import extract as extract_job
        from faceswap_pipelines.job import frame_range

        wanted = frame_range(frames)
        job = ExtractJob(tuple(inputs), out, wanted, size, min_face, person, skip_similar, device=device)
        result = show(extract_job(job), json)
    dropped = "".join(f", {count} {reason}" for reason, count in result.rejected.items())
    for path, reason in result.failed.items():
        print(one_line(f"Passed over {path}: {reason}"), file=sys.stderr)
    finish(result, json, f"{result.kept} faces kept in {out}{dropped}. See them: faceswap faces sheet {out}")


@app.command()
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

    With several GPUs or machines: torchrun --nproc-per-node N -m faceswap_pipelines.cli train ...
    """
    with job_errors():
        from faceswap_pipelines.terminal import consented, persons, settings
        from faceswap_pipelines.train import train_model
        from faceswap_pipelines.train_setup import TrainJob

        if minutes is None and steps is None and not until_plateau:
            minutes = 10.0
        named = {"size": size, "latent": latent, "decoder": decoder, "batch_size": batch, "seed": seed}
        facesets = persons(a, b, person or [])
        job = TrainJob(
            facesets,
            model,
            preset,
            minutes,
            steps,
            until_plateau,
            resume,
            from_scratch,
            {name: value for name, value in named.items() if value is not None} | settings(set_ or []),
            tensorboard,
            device,
            save_every,
            consented(consent or [], model, facesets, ask=not json),
        )
        result = show(train_model(job), json)
    then = f"faceswap swap VIDEO --model {model} --out OUT.mp4"
    finish(result, json, f"Trained {result.steps} steps. Look at {result.preview}; then: {then}")


@app.command()
def swap(
    videos: Annotated[
        list[Path], typer.Argument(help="A video, or a picture; several with --out-dir.", metavar="VIDEO...")
    ],
    model: Annotated[Path, typer.Option(help="Folder of a trained model.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The video to write: .mp4, .mov or .mkv. Without a suffix: a folder for PNG pictures."),
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option(help="Instead: a folder for the results of many videos; 'in/*.mp4' works, too.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--to", metavar="PERSON", help="Who the face becomes; B,C from left to right.", show_default="b"),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="PERSON", help="Swap only the face that is recognised as this one.")
    ] = None,
    face: Annotated[
        str | None,
        typer.Option(
            help="Which face: main, all, largest, left-to-right, like=PICTURE or not=PICTURE.", show_default="main"
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="A=B", help="The face recognised as A becomes B; repeatable."),
    ] = None,
    frames: Frames = "",
    codec: Annotated[
        str | None, typer.Option(help="h264, h265, av1, prores or ffv1 (lossless).", show_default="h264")
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(help="Quality of the video: lower is better and larger.", show_default="18 for h264"),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="The encoder's speed, such as slow or veryfast.")] = None,
    hardware: Annotated[bool, typer.Option("--hardware", help="Encode on an NVIDIA GPU.")] = False,
    mask_out: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write what was swapped as grey pictures, too.")
    ] = None,
    preview: Annotated[
        int, typer.Option(metavar="N", min=0, help="Only show N frames before and after, in seconds.")
    ] = 0,
    settings_file: Annotated[
        Path | None, typer.Option("--settings", metavar="TOML", help="Settings, as written beside each output.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, repeatable: colour=reinhard, blending=alpha, opacity, scale, erode, feather,"
            " sharpen, grain, smooth, fade.",
        ),
    ] = None,
    label: Annotated[bool, typer.Option("--label", help="Write 'AI modified' into each picture's corner.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
    min_face: MinFace = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Put one person's face into another's video. Sound and timing stay; killed, it goes on when run again."""
    with job_errors():
        from faceswap_pipelines.batch.plan import swap_plan
        from faceswap_pipelines.job import frame_range
        from faceswap_pipelines.preview import preview as preview_job
        from faceswap_pipelines.swap import swap as swap_job
        from faceswap_pipelines.swap_setup import SwapJob, settings_from
        from faceswap_pipelines.terminal import mapping, settings

        named: dict[str, object] = {"face": face, "codec": codec, "crf": crf, "preset": preset}
        named |= {"hardware": hardware or None, "label": label or None, "to": target.split(",") if target else None}
        named["map"] = mapping(map_ or [], source, target, face)
        changes = settings(set_ or []) | {name: value for name, value in named.items() if value is not None}
        if (out is None) == (out_dir is None) or (out and len(videos) > 1):
            raise ConfigError("it is not clear where to write", "Add --out FILE, or, for several videos, --out-dir DIR")
        job = SwapJob(
            videos[0],
            model,
            out or Path(),
            settings_from(settings_file, changes),
            frame_range(frames),
            overwrite,
            mask_out,
            min_face,
            device,
        )
        if out_dir and (preview or mask_out):
            raise ConfigError("--preview and --mask-out are for one video", "Name it with --out")
        if out_dir:
            _run_batch(swap_plan(videos, job, out_dir), out_dir / BATCH_STATE, None, device, False, json)
            return
        if preview:
            shown = show(preview_job(job, preview), json)
        else:
            result = show(swap_job(job), json)
    if preview:
        finish(shown, json, f"{shown.frames} frames in {shown.seconds:.1f} s. Look at {shown.sheet}")
    else:
        for note in result.notes:
            print(f"{note[:1].upper()}{note[1:]}", file=sys.stderr)
        text = f"{result.swapped} of {result.frames} frames have a swapped face. Look at {result.sheet or out}"
        finish(result, json, text)


@app.command()
def batch(
    plan: Annotated[Path, typer.Argument(help="Jobs in TOML: see docs/batch.md.", metavar="JOBS.toml")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the jobs that the plan holds.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking for new files until stopped.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time.", show_default="one for each GPU, or four cores")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Do many jobs: extract, train, swap. Stopped or killed, it goes on where it was; nothing is done twice."""
    with job_errors():
        from faceswap_pipelines.batch.plan import read_plan

        if dry_run:
            tasks = read_plan(plan, watch)
            names = [{"name": task.name, "kind": task.kind, "after": list(task.after)} for task in tasks]
            finish(names, json, "\n".join([*(task.name for task in tasks), f"{len(tasks)} jobs"]))
            return
        state = plan.with_name(f".{plan.stem}.{BATCH_STATE}")
        _run_batch(lambda: read_plan(plan, watch), state, workers, device, watch, json)


def _run_batch(
    plan: Callable[[], Sequence[Task]], state: Path, workers: int | None, device: str, watch: bool, as_json: bool
) -> None:
    """Run it and print what came of it; exit code 3 if a job failed."""
    from faceswap_pipelines.batch.batch import batch as batch_job

    def told(outcome: Outcome) -> None:
        print(one_line(f"{outcome.status}: {outcome.name}: {outcome.reason}"), file=sys.stderr, flush=True)

    result = show(batch_job(plan, state, workers, device, watch, told), as_json)
    lines = [f"{one.status:6} {one.seconds:7.1f} s  {one.name}" for one in result.outcomes]
    counts = f"{result.done} done, {result.kept} done before, {result.failed} failed"
    finish(result, as_json, "\n".join([*lines, counts]))
    if result.failed:
        raise typer.Exit(EXIT_ERROR)


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Pictures and videos, of whatever origin.", metavar="FILE...")],
    authority: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Certificates of signers to trust besides yourself.")
    ] = None,
    json: Json = False,
) -> None:
    """Tell what files say of their making: signed credentials, the invisible mark, a declaration in their metadata."""
    with job_errors():
        from faceswap_pipelines.verify import in_words, read_authority
        from faceswap_pipelines.verify import verify as verify_job

        reports = show(verify_job(files, read_authority(authority)), json)
    finish(reports, json, "\n\n".join(map(in_words, reports)))
    if any(report.problem for report in reports):
        raise typer.Exit(EXIT_ERROR)


@app.command("app")
def app_command(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen on; this computer only, unless --auth is given.")
    ] = "127.0.0.1",
    projects: Annotated[Path, typer.Option(help="Folder of the projects, made if need be.")] = Path("projects"),
    auth: Annotated[str | None, typer.Option(metavar="USER:PASSWORD", help="Ask visitors for this.")] = None,
) -> None:
    """Open the web page that does the whole job: footage, faces, training, swapping."""
    with job_errors():
        from importlib import import_module

        # The page lies a storey above the pipelines: named here, but not imported by them.
        import_module("faceswap_app.page").launch(projects, host, port, auth)


if __name__ == "__main__":
    main()
