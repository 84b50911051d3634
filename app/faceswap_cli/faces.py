"""The commands `faceswap faces ...`: look at a faceset and clean it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceswap_cli.options import Device, Json
from faceswap_cli.terminal import job_errors, print_result, run_with_progress

faces_app = typer.Typer(no_args_is_help=True, help="Look at the faces of a faceset, and choose which to learn from.")

FacesetFolder = Annotated[Path, typer.Argument(help="A faceset.", metavar="FACESET")]
Sheet = Annotated[Path | None, typer.Option(help="The picture to write.", show_default="FACESET/sheet.png")]
Files = Annotated[list[str] | None, typer.Option(metavar="FILE", help="These faces: names of files in faces/.")]
MoreFiles = Annotated[list[str] | None, typer.Argument(metavar="FILE", help="Faces: names of files in faces/.")]


@faces_app.command("list")
def faces_list(
    faceset: FacesetFolder,
    rejected: Annotated[
        bool, typer.Option(help="The rejected faces, with the reasons, instead of the kept ones.")
    ] = False,
    json: Json = False,
) -> None:
    """List faces: file, frame, time, size in pixels, sharpness, group."""
    with job_errors(json):
        from faceswap_pipelines.curation.faces import list_faces

        rows = list_faces(faceset, rejected)
    print_result(rows, json, "\n".join(row.line for row in rows) or "none")


@faces_app.command("sheet")
def faces_sheet(
    faceset: FacesetFolder,
    by: Annotated[
        str | None, typer.Option(metavar="KEY", help="In the order of a measure, with its values: yaw, sharpness...")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=2000, help="How many faces to show, evenly from all.")] = 96,
    rejected: Annotated[bool, typer.Option(help="Only the rejected ones, as many for each reason.")] = False,
    out: Sheet = None,
    json: Json = False,
) -> None:
    """Write a contact sheet: kept faces, then the rejected ones by reason."""
    with job_errors(json):
        from faceswap_pipelines.curation.faces import sheet_faces

        result = sheet_faces(faceset, out or faceset / "sheet.png", count, by, rejected)
    print_result(result, json, f"{result.kept} kept and {result.rejected} rejected faces; look at {result.sheet}")


@faces_app.command("show")
def faces_show(
    faceset: FacesetFolder,
    files: MoreFiles = None,
    count: Annotated[int, typer.Option(min=1, max=48, help="How many, evenly from all, if no files are named.")] = 6,
    out: Annotated[Path | None, typer.Option(help="The picture to write.", show_default="FACESET/show.png")] = None,
    json: Json = False,
) -> None:
    """Show single faces large, with their points, mask, pose and measures: what is known about a face."""
    with job_errors(json):
        from faceswap_pipelines.curation.faces import show_faces

        result = show_faces(faceset, out or faceset / "show.png", files or [], count)
    print_result(result, json, f"Look at {result.picture}")


@faces_app.command("stats")
def faces_stats(
    faceset: FacesetFolder,
    out: Annotated[Path | None, typer.Option(help="The chart to write.", show_default="FACESET/stats.png")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Count and measure the faces, draw histograms, and say what is missing for good training."""
    with job_errors(json):
        from faceswap_pipelines.curation.faces import stats_faces

        result = run_with_progress(stats_faces(faceset, out or faceset / "stats.png", device), quiet=json)
    print_result(result, json, result.text)


@faces_app.command("sort")
def faces_sort(
    faceset: FacesetFolder,
    by: Annotated[
        str,
        typer.Option(
            help="time (as filmed: takes the numbers away), sharpness, size, brightness, yaw, pitch, roll, eyes, mouth,"
            " identity (how far from the person), similarity (look-alikes side by side)."
        ),
    ],
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    out: Sheet = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Number the pictures' files, so that any file browser shows them in this order; write a sheet."""
    with job_errors(json):
        from faceswap_pipelines.curation.curate import sort_faces

        result = run_with_progress(sort_faces(faceset, by, reverse, out or faceset / "sheet.png", device), quiet=json)
    print_result(
        result, json, f"{result.kept} faces in the order of {by}; look through {faceset}/faces or {result.sheet}"
    )


@faces_app.command("cluster")
def faces_cluster(
    faceset: FacesetFolder,
    groups: Annotated[
        int | None, typer.Option(min=1, help="Make exactly so many.", show_default="as many as there seem to be people")
    ] = None,
    out: Sheet = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Part the kept faces by who they are; number the files by group; write a sheet with a row for each."""
    with job_errors(json):
        from faceswap_pipelines.curation.curate import cluster_faces

        result = run_with_progress(cluster_faces(faceset, groups, out or faceset / "sheet.png", device), quiet=json)
    then = f"\nLeave a group out: faceswap faces reject {faceset} --group NUMBER" if len(result.groups) > 1 else ""
    print_result(result, json, result.text + then)


@faces_app.command("reject")
def faces_reject(
    faceset: FacesetFolder,
    more: MoreFiles = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Faces of which this holds: 'sharpness<0.1', 'occluded>0.2'. Repeated: all of them.",
        ),
    ] = None,
    strangers: Annotated[bool, typer.Option("--strangers", help="Everybody but the person, and what is no face.")] = (
        False
    ),
    person: Annotated[
        Path | None,
        typer.Option(metavar="PICTURE", help="Shows the person.", show_default="as extracted, or whoever is seen most"),
    ] = None,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Near-duplicates of an earlier face: same look, pose and expression.")
    ] = False,
    closer_than: Annotated[
        float, typer.Option(help="How little near-duplicates differ, in mean grey levels: more finds more.")
    ] = 2.0,
    covered: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Faces of which hands or things cover more than this share, such as 0.1."),
    ] = None,
    balance: Annotated[
        int | None, typer.Option(metavar="N", help="All but N, even over poses and expressions, the sharpest first.")
    ] = None,
    group: Annotated[int | None, typer.Option(metavar="NUMBER", help="A group that cluster has found.")] = None,
    files: Files = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be rejected, and show it.")] = False,
    out: Sheet = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Leave faces out of training. Nothing is deleted: faces restore takes the command back."""
    with job_errors(json):
        from faceswap_pipelines.curation.reject import RejectJob, reject_faces

        named = (*(files or ()), *(more or ()))
        job = RejectJob(
            faceset=faceset,
            where=tuple(where or ()),
            strangers=strangers,
            person=person,
            duplicates=duplicates,
            closer_than=closer_than,
            covered=covered,
            group=group,
            files=named,
            balance=balance,
            dry_run=dry_run,
            device=device,
        )
        result = run_with_progress(reject_faces(job, out or faceset / "sheet.png"), quiet=json)
    back = "" if dry_run or not result.rejected else f"\nTake it back: faceswap faces restore {faceset}"
    print_result(result, json, result.text + back)


@faces_app.command("restore")
def faces_restore(
    faceset: FacesetFolder,
    more: MoreFiles = None,
    last: Annotated[bool, typer.Option("--last", help="Take the last command back; the default.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Keep all faces, those that extraction rejected too.")] = False,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Keep faces rejected for this reason.")] = None,
    files: Files = None,
    json: Json = False,
) -> None:
    """Take rejections back: the last command, and again the one before; or keep some faces again."""
    with job_errors(json):
        from faceswap_pipelines.curation.curate import restore_faces

        named = (*(files or ()), *(more or ()))
        result = restore_faces(faceset, last, every, reason, named)
    what = f"Took back: {result.command}" if result.undone else result.command
    print_result(result, json, f"{what}. {result.changed} faces changed, {result.kept} are kept now")
