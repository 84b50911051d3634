"""The commands `faceswap latent ...`: what a model's latent knows of faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceswap_cli.options import Device, Json
from faceswap_cli.terminal import job_errors, print_result, run_with_progress

if TYPE_CHECKING:  # it loads torch; only its types are needed here
    from faceswap_pipelines.latent.faces import LatentInputs

latent_app = typer.Typer(no_args_is_help=True, help="Look into a model's latent: what it knows of faces, and how.")

Model = Annotated[Path, typer.Argument(help="Folder of a trained model.", metavar="MODEL")]
Facesets = Annotated[
    list[str] | None,
    typer.Argument(
        help="Facesets by name. The encoder is everybody's: they need not be those it learnt from.",
        metavar="NAME=FACESET...",
        show_default="faces/PERSON beside the model",
    ),
]
Most = Annotated[int, typer.Option("--faces", min=10, help="So many faces in all, evenly from each faceset.")]
Person = Annotated[
    str | None, typer.Option(metavar="NAME", help="Whose face to draw.", show_default="the first of the facesets")
]
Seed = Annotated[int, typer.Option(min=0, help="Of all randomness.")]


def _picture(name: str) -> object:
    return typer.Option("--out", help="The picture to write.", show_default=f"MODEL/latent/{name}.png")


@latent_app.command("map")
def latent_map(
    model: Model,
    facesets: Facesets = None,
    umap: Annotated[
        bool, typer.Option("--umap", help="Lay them out by UMAP, too: uv sync --extra umap installs it.")
    ] = False,
    most: Most = 1000,
    out: Annotated[Path | None, _picture("map")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Draw all faces in two dimensions, coloured by person, pose, mouth, eyes, brightness and time."""
    with job_errors(json):
        from faceswap_pipelines.latent.map import USUAL, map_faces

        inputs = _inputs(model, facesets, most, device)
        layouts = [*USUAL, "UMAP"] if umap else USUAL
        result = run_with_progress(map_faces(inputs, out or _place(model, "map.png"), layouts), quiet=json)
    print_result(result, json, result.text)


@latent_app.command("cluster")
def latent_cluster(
    model: Model,
    facesets: Facesets = None,
    method: Annotated[
        str, typer.Option(help="Whose groups to show: kmeans, mixture or spectral. All are compared.")
    ] = "kmeans",
    groups: Annotated[int, typer.Option(min=2, help="How many to make.")] = 8,
    reject: Annotated[
        list[int] | None,
        typer.Option(metavar="NUMBER", help="Leave this group's faces out of their facesets; repeatable."),
    ] = None,
    seed: Seed = 0,
    most: Most = 1000,
    out: Annotated[Path | None, _picture("cluster")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Put faces into groups by their codes; see what the groups show, and how well they match what is known."""
    with job_errors(json):
        from faceswap_pipelines.latent.cluster import ClusterJob, cluster_codes

        inputs = _inputs(model, facesets, most, device)
        job = ClusterJob(inputs=inputs, method=method, groups=groups, reject=tuple(reject or ()), seed=seed)
        result = run_with_progress(cluster_codes(job, out or _place(model, "cluster.png")), quiet=json)
    back = [f"\nTake it back: faceswap faces restore {inputs.facesets[name]}" for name in result.rejected]
    print_result(result, json, result.text + "".join(back))


@latent_app.command("walk")
def latent_walk(
    model: Model,
    facesets: Facesets = None,
    person: Person = None,
    principal: Annotated[
        bool, typer.Option("--pca", help="Along principal directions instead of single numbers.")
    ] = False,
    rows: Annotated[int, typer.Option(min=1, max=64, help="How many to show, those that change most first.")] = 12,
    reach: Annotated[
        float, typer.Option(min=0.1, help="How far to either side, in standard deviations of the codes.")
    ] = 2.5,
    most: Most = 1000,
    out: Annotated[Path | None, _picture("walk")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Change one number at a time and see what it moves; score how far each number means one thing (MIG, DCI)."""
    with job_errors(json):
        from faceswap_pipelines.latent.walk import WalkJob, walk_latent

        inputs = _inputs(model, facesets, most, device)
        whose = person or next(iter(inputs.facesets))
        job = WalkJob(inputs=inputs, person=whose, rows=rows, reach=reach, principal=principal)
        result = run_with_progress(walk_latent(job, out or _place(model, "walk.png")), quiet=json)
    print_result(result, json, result.text)


@latent_app.command("probe")
def latent_probe(
    model: Model,
    facesets: Facesets = None,
    target: Annotated[
        str, typer.Option(help="What to tell: person, or a measure such as yaw, pitch, mouth, eyes, brightness.")
    ] = "yaw",
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Labels of your own instead: columns file and label; or a folder with a folder of faces for each.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often to draw the labelled faces anew.")] = 5,
    fine_tune: Annotated[
        bool, typer.Option("--fine-tune", help="Let the encoder learn from the labels, too, as one more curve.")
    ] = False,
    most: Most = 1000,
    out: Annotated[Path | None, _picture("probe")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Ask from how few labels something can be told from codes, beside pixels and an untrained encoder."""
    with job_errors(json):
        from faceswap_pipelines.latent.probe import ProbeJob, probe

        inputs = _inputs(model, facesets, most, device)
        job = ProbeJob(inputs=inputs, target=target, labels=labels, seeds=seeds, fine_tune=fine_tune)
        result = run_with_progress(probe(job, out or _place(model, "probe.png")), quiet=json)
    print_result(result, json, result.text)


@latent_app.command("sample")
def latent_sample(
    model: Model,
    facesets: Facesets = None,
    count: Annotated[int, typer.Option(min=1, max=256, help="Faces of each person.")] = 16,
    temperature: Annotated[
        float, typer.Option(help="How far draws reach from what is most likely; 1 is the prior's own.")
    ] = 1.0,
    fit: Annotated[
        bool, typer.Option("--fit", help="Draw from a normal distribution fitted to the facesets' codes: any latent.")
    ] = False,
    seed: Seed = 0,
    most: Most = 1000,
    out: Annotated[Path | None, _picture("sample")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Draw faces that nobody has shown, as each person (latents vae, vq, vq2; or --fit); count which are faces."""
    with job_errors(json):
        from faceswap_pipelines.latent.sample import SampleJob, sample_faces

        job = SampleJob(
            model=model,
            count=count,
            temperature=temperature,
            seed=seed,
            fit=_inputs(model, facesets, most, device) if fit else None,
            device=device,
        )
        result = run_with_progress(sample_faces(job, out or _place(model, "sample.png")), quiet=json)
    print_result(result, json, result.text)


@latent_app.command("morph")
def latent_morph(
    model: Model,
    first: Annotated[Path, typer.Argument(help="A picture in a faceset: FACESET/faces/FILE.", metavar="FACE")],
    last: Annotated[
        Path | None, typer.Argument(help="Where to go.", metavar="FACE", show_default="the same face")
    ] = None,
    person: Annotated[
        str | None,
        typer.Option("--as", metavar="PERSON", help="Whose decoder draws.", show_default="the model's first"),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="PERSON", help="Become this person on the way.", show_default="nobody")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long the film is.")] = 3.0,
    out: Annotated[
        Path | None, typer.Option(help="The film to write, .mp4.", show_default="MODEL/latent/morph.mp4")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the film if it exists.")] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Film the way from one face to another, or from one person to another; a sheet of it lies beside."""
    with job_errors(json):
        from faceswap.model.folder import read_config
        from faceswap_pipelines.latent.morph import MorphJob, morph

        job = MorphJob(
            model=model,
            first=first,
            last=last,
            person=person or read_config(model).model.persons[0],
            to=to,
            seconds=seconds,
            overwrite=overwrite,
            device=device,
        )
        result = run_with_progress(morph(job, out or _place(model, "morph.mp4")), quiet=json)
    print_result(result, json, result.text)


@latent_app.command("spectrum")
def latent_spectrum(
    model: Model,
    facesets: Facesets = None,
    most: Most = 1000,
    out: Annotated[Path | None, _picture("spectrum")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Show which numbers of the latent are in use: variance, KL divergence, active units, codebook use, ELBO."""
    with job_errors(json):
        from faceswap_pipelines.latent.spectrum import spectrum

        inputs = _inputs(model, facesets, most, device)
        result = run_with_progress(spectrum(inputs, out or _place(model, "spectrum.png")), quiet=json)
    print_result(result, json, result.text)


def _inputs(model: Path, facesets: list[str] | None, most: int, device: str) -> LatentInputs:
    from faceswap_pipelines.latent.faces import LatentInputs, facesets_from

    return LatentInputs(model=model, facesets=facesets_from(model, facesets or []), most=most, device=device)


def _place(model: Path, name: str) -> Path:
    """Where a command writes unless told otherwise: a folder inside the model's, made if need be."""
    from faceswap_pipelines.latent.faces import latent_folder

    return latent_folder(model) / name
