"""How a swap begins: what the job asks for, held against the video, the model and the outputs that are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from faceswap.config import to_toml
from faceswap.errors import FaceError, MediaError, ModelError, OutputError
from faceswap.faces.examples import examples_file
from faceswap.faces.selection import Selection, recognise_tracks, select_tracks
from faceswap.faces.skin import skin_file
from faceswap.faces.trackfile import Track
from faceswap.files import beside
from faceswap.media.fingerprint import fingerprint
from faceswap.media.video_write import check_kind
from faceswap.model.folder import latest_checkpoint
from faceswap.model.identities import identity_file, read_identities
from faceswap.swapping.infer import Swapper
from faceswap.types import Embedding, FrameFaces
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.swapping.job import SwapJob

_LONGEST_STEM = 100  # bytes of a video's name in that of its track file
_DIGITS = 12  # of the fingerprint, in the same


def check_output(job: SwapJob) -> None:
    """Raises OutputError if an output is there already, has no folder, is the input itself, or is not what the input
    becomes."""
    for path in (job.out, job.mask_out):
        if path is None:
            continue

        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist", "Create it or choose another place")

        if path.exists() and not job.overwrite:
            raise OutputError(f"{path} exists already", "Name another output, or add --overwrite")
        if path.exists() and job.video.exists() and path.samefile(job.video):
            raise OutputError(f"{path} is the input itself", "Choose another name for the output")

        if job.footage.is_picture and path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise OutputError(
                f"{job.video} is a picture, and {path} is not", "Name an output that ends in .png or .jpg"
            )
        if path.suffix and not job.footage.is_picture:
            check_kind(path, job.settings.encoding)

    if job.video.is_dir() and job.frame_rate is None:
        remedy = "Add --frame-rate 25, to take its pictures for the frames of a film; or --out-dir, to swap each"
        raise MediaError(f"{job.video} is a folder", remedy)
    if job.out == job.mask_out:
        raise OutputError(f"{job.out} cannot hold both pictures and masks", "Name another --mask-out")


def signature_of(job: SwapJob) -> str:
    """Names all that decides the output's pictures: input, model, settings. Part of what makes resuming safe.

    "marked": work that was begun before pictures were marked is not gone on with.
    """
    read = "\n".join(fingerprint(path) for path in read_by(job) if path.exists())
    rate = f" {job.frame_rate}" if job.video.is_dir() else ""
    return f"{job.video.resolve()}\n{read}\n{to_toml(job.settings)}{job.frames} {job.min_face} marked{rate}"


def track_file(job: SwapJob) -> Path:
    """Where it is kept which faces are where in the job's frames: beside the output, and for all outputs there that
    are made from the same frames of the same video."""
    before = beside(job.out.with_suffix(""), ".tracks.db")  # as versions before called it
    if before.is_file():
        return before
    stem = os.fsencode(job.video.stem)[:_LONGEST_STEM].decode(errors="ignore")
    known = job.footage.fingerprint(job.min_face)
    return job.out.with_name(f"{stem}.{known[:_DIGITS]}.tracks.db")


def read_by(job: SwapJob) -> list[Path]:
    """The files whose content decides the output, whether they are there or not."""
    checkpoint = latest_checkpoint(job.model)
    weights = [checkpoint / "weights.safetensors"] if checkpoint else []
    known = [identity_file(job.model)] if job.settings.map else []
    return [
        job.video,
        *weights,
        skin_file(job.model),
        examples_file(job.model),
        *known,
        *([picture] if (picture := job.settings.picture) else []),
    ]


def open_swapper(job: SwapJob, models: Models) -> Swapper:
    """The job's model, ready to swap. Raises ModelError if it does not know those whom the job wants."""
    swapper = models.swapper(job.model, job.device)

    mapping = job.settings.mapping
    for person in [*mapping, *mapping.values()] or job.settings.to:
        swapper.check(person)

    known = read_identities(job.model) if mapping else {}
    if unknown := next((person for person in mapping if person not in known), None):
        raise ModelError(
            f"the model does not know what '{unknown}' looks like",
            "Choose with --face; or extract that person's faces from a video and train the model for a moment more",
        )

    return swapper


def pictured(job: SwapJob, finder: FaceFinder) -> Embedding | None:
    """Who is to be seen in the picture that like=PICTURE or not=PICTURE names. Raises MediaError or FaceError."""
    picture = job.settings.picture
    return None if picture is None else finder.person_in(picture)


def selections_of(
    job: SwapJob, tracks: list[Track], reference: Embedding | None, frames: Callable[[], Iterable[FrameFaces]]
) -> list[Selection]:
    """Which of the faces that were followed become whom. Raises FaceError if it is none, MediaError if no frame was
    looked at."""
    settings = job.settings
    if not tracks and next(iter(frames()), None) is None:
        raise MediaError(f"{job.video} has no frame {job.frames[0]}", "Choose an earlier range of frames")
    if not tracks:
        raise FaceError(
            f"no face was found in {job.video}, so there is nothing to swap",
            "Use footage that shows a face, or look for smaller ones with --min-face",
        )

    if mapping := settings.mapping:
        selections = recognise_tracks(read_identities(job.model), mapping, tracks)
        wanted = f"nobody like {' or '.join(mapping)}"
    else:
        selections = select_tracks(settings.face, settings.to, tracks, frames, reference)
        wanted = f"no face that is '{settings.face}'"

    if not selections:
        raise FaceError(f"{wanted} was found in {job.video}", "Choose another with --face, for example --face main")
    return selections
