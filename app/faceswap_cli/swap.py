"""The command `faceswap swap`: one video, a preview of it, or many videos at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceswap.config import SwapConfig
from faceswap_cli.batch import BATCH_STATE, run_batch, tell_passed_over
from faceswap_cli.options import (
    Device,
    FrameRate,
    Frames,
    Json,
    MaxPixels,
    MinFace,
    allow_pixels,
    frame_range,
    mapping,
    settings,
)
from faceswap_cli.terminal import UsageError, job_errors, print_result, run_with_progress

if TYPE_CHECKING:  # it loads torch; only its types are needed here
    from faceswap_pipelines.swapping.job import SwapJob

_SETTINGS = [field.name for field in fields(SwapConfig)]


def swap(
    videos: Annotated[
        list[Path],
        typer.Argument(help="A video, or a picture; several, or folders, with --out-dir.", metavar="VIDEO..."),
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
            help=f"Any other setting, repeatable, such as colour=reinhard or blending=alpha: {', '.join(_SETTINGS)}.",
        ),
    ] = None,
    label: Annotated[bool, typer.Option("--label", help="Write 'AI modified' into each picture's corner.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
    segments: Annotated[
        int, typer.Option(metavar="N", min=1, help="Cut a long video into N parts, done at once: one on each GPU.")
    ] = 1,
    min_face: MinFace = None,
    frame_rate: FrameRate = None,
    device: Device = "auto",
    max_pixels: MaxPixels = None,
    json: Json = False,
) -> None:
    """Put one person's face into another's video. Sound and timing stay; killed, it goes on when run again."""
    with job_errors(json):
        allow_pixels(max_pixels)
        from faceswap_pipelines.common.inputs import frame_rate as parsed_rate
        from faceswap_pipelines.swapping.job import SwapJob, settings_from

        _check_outputs(videos, out, out_dir, alone=bool(preview or mask_out))

        # Settings that have options of their own, and others.
        options: dict[str, object] = {
            "face": face,
            "to": target.split(",") if target else None,
            "map": mapping(map_ or [], source, target, face),
            "codec": codec,
            "crf": crf,
            "preset": preset,
            "hardware": hardware or None,
            "label": label or None,
        }
        changed = {name: value for name, value in options.items() if value is not None}

        job = SwapJob(
            video=videos[0],
            model=model,
            out=out or Path(),
            settings=settings_from(settings_file, settings(set_ or []) | changed),
            frames=frame_range(frames),
            frame_rate=parsed_rate(frame_rate),
            overwrite=overwrite,
            mask_out=mask_out,
            min_face=min_face,
            device=device,
            segments=segments,
        )
        if out_dir:
            _swap_many(videos, job, out_dir, json)
        elif preview:
            _preview(job, preview, json)
        else:
            _swap_one(job, json)


def _check_outputs(videos: Sequence[Path], out: Path | None, out_dir: Path | None, *, alone: bool) -> None:
    """Raises UsageError unless there is one place to write to that suits; `alone`: if it has to be one video."""
    if (out is None) == (out_dir is None) or (out and len(videos) > 1):
        raise UsageError("it is not clear where to write", "Add --out FILE, or, for several videos, --out-dir DIR")
    if out_dir and alone:
        raise UsageError("--preview and --mask-out are for one video", "Name it with --out")


def _swap_one(job: SwapJob, as_json: bool) -> None:
    from faceswap_pipelines.batching.segments import is_cut, swap_in_segments
    from faceswap_pipelines.swapping.run import swap as run_swap

    result = run_with_progress(swap_in_segments(job) if is_cut(job) else run_swap(job), quiet=as_json)

    for note in result.notes:
        print(f"{note[:1].upper()}{note[1:]}", file=sys.stderr)
    text = f"{result.swapped} of {result.frames} frames have a swapped face. Look at {result.sheet or job.out}"
    print_result(result, as_json, text)


def _preview(job: SwapJob, count: int, as_json: bool) -> None:
    from faceswap_pipelines.swapping.preview import preview as run_preview

    result = run_with_progress(run_preview(job, count), quiet=as_json)
    print_result(result, as_json, f"{result.frames} frames in {result.seconds:.1f} s. Look at {result.sheet}")


def _swap_many(videos: Sequence[Path], job: SwapJob, out_dir: Path, as_json: bool) -> None:
    from faceswap_pipelines.batching.plan import swap_plan
    from faceswap_pipelines.common.inputs import other_files

    tasks = swap_plan(videos, job, out_dir)
    tell_passed_over(other_files(videos))
    run_batch(
        tasks,
        state=out_dir / BATCH_STATE,
        workers=None,
        device=job.device,
        watch=False,
        as_json=as_json,
    )
