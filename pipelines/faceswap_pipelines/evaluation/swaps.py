"""A swapped video beside the one that was swapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float, Int

from faceswap.errors import FaceError, MediaError
from faceswap.faces.identity import SAME_PERSON, Identifier, distance, typical
from faceswap.faces.irises import IrisFinder
from faceswap.faces.landmarks import FaceMesh, five_points
from faceswap.faces.person import dominant_identity, pick, tracks_of
from faceswap.faces.trackfile import TrackFile
from faceswap.media.kinds import is_picture
from faceswap.media.video import probe, read_frames
from faceswap.quality import likeness, looks, motion
from faceswap.quality.eyes import STILL, watch_eyes
from faceswap.quality.looks import FrameLooks, frame_looks, missing_looks
from faceswap.quality.motion import Gestures, gestures
from faceswap.streams import batched
from faceswap.types import Embedding, Embeddings, Face, FrameFaces, Picture
from faceswap_pipelines.common.analyse import FaceFinder, analyse
from faceswap_pipelines.common.cpu import one_thread_each
from faceswap_pipelines.common.inputs import Footage
from faceswap_pipelines.common.prefetch import depth_for, prefetch
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.evaluation.job import SwapFiles, SwapLikeness, SwapQuality
from faceswap_pipelines.evaluation.persons import Wanted

_BATCH = 8  # frames that are looked at together
_KNOWN_EVERY = 3  # frames whose faces' identity is looked at: it changes slowly, and takes the longest

Series = Float[np.ndarray, " frames"]
Indices = Int[np.ndarray, " frames"]


@dataclass(frozen=True, kw_only=True)
class SwapFrames:
    """All that was seen, frame by frame."""

    indices: Indices
    """Of the target's frames."""
    faces: list[Face | None]
    """The video's faces that were swapped."""
    scenes: motion.Scenes
    before: Gestures
    after: Gestures
    gazes: tuple[Series, Series]
    """Where the eyes look, in the video and in the swap: see `EyesOverTime`."""
    looks: list[FrameLooks]
    swapped: Embeddings
    """Whose face the swap shows; NaN where nobody has looked."""
    replaced: Embedding
    """The video's person."""

    @property
    def shown(self) -> Indices:
        """The places of the frames with a face."""
        return np.flatnonzero([face is not None for face in self.faces])


@dataclass(frozen=True, kw_only=True)
class SwapPart:
    """Everything that is known of a swap."""

    frames: SwapFrames
    quality: SwapQuality
    wanted: Wanted | None
    worst: dict[str, list[tuple[int, float]]]
    """By measure: the places of the worst frames, with their values."""


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """One frame of both videos."""

    index: int
    before: Picture
    after: Picture
    face: Face | None
    """The video's face that was swapped."""
    others: tuple[Face, ...]
    """All of the video's faces."""
    cut: bool
    """Whether a scene begins."""


@dataclass(frozen=True, kw_only=True)
class _KnownFace:
    """One face of a frame: in the video, or in the swap."""

    face: Face
    gaze: float
    opening: float
    """See `EyesOverTime`."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the networks say of one frame."""

    index: int
    cut: bool
    before: _KnownFace | None = None
    after: _KnownFace | None = None
    """The two faces, both looked for where the video's was followed to: what the network adds is the same in both."""
    who: tuple[Embedding, Embedding] | None = None
    """Who they are; None for most frames."""


def watch_swap(files: SwapFiles, finder: FaceFinder, device: torch.device) -> Run[SwapFrames]:
    """Look at every frame of a swap and of its video. Raises FaceError if the video shows nobody."""
    with TemporaryDirectory() as folder, TrackFile(Path(folder) / "tracks.db") as tracks:
        analysis = yield from analyse(Footage(path=files.target, frames=files.frames), tracks, finder)
        found = tracks.tracks(analysis)
        person = dominant_identity(found)
        if person is None:
            raise FaceError(f"no face was found in {files.target}", "Name the video that was swapped with --target")

        numbers = tracks_of(person, found)
        frames = list(tracks.frames(analysis))
    return (yield from _look(files, frames, numbers, device))


def _look(
    files: SwapFiles, frames: Sequence[FrameFaces], numbers: Sequence[int], device: torch.device
) -> Run[SwapFrames]:
    """Networks look in a thread of their own, while pictures are compared in this one."""
    info = probe(files.target)
    known: list[_Known] = []
    compared: list[FrameLooks] = []
    previous: tuple[Picture, Picture] | None = None

    looked = prefetch(_looked_at(_pairs(files, frames, numbers), device), depth_for(info.width, info.height))
    with one_thread_each(), closing(looked):
        for pair, what in looked:
            compared.append(_looks(pair, None if pair.cut else previous))
            known.append(what)
            previous = pair.before, pair.after
            if len(known) % _BATCH == 0:
                title = f"Comparing {files.swap.name}"
                yield Progress(title=title, done=len(known), total=len(frames), unit="frames")
    return _together(files, known, compared)


def _together(files: SwapFiles, known: Sequence[_Known], compared: list[FrameLooks]) -> SwapFrames:
    known_people = [one.who for one in known if one.who is not None]
    if len(known) < 2 or not known_people:
        raise FaceError(
            f"{files.swap} and {files.target} have no two frames with a face in common", "Name other videos or --frames"
        )
    nobody = np.full_like(known_people[0][0], np.nan)
    before, after = [one.before for one in known], [one.after for one in known]

    return SwapFrames(
        indices=np.array([one.index for one in known]),
        faces=_faces(before),
        scenes=np.cumsum([one.cut for one in known]),
        before=_gestures(before),
        after=_gestures(after),
        gazes=(_gazes(before), _gazes(after)),
        looks=compared,
        swapped=np.array([nobody if one.who is None else one.who[1] for one in known]),
        replaced=typical(np.array([replaced for replaced, _ in known_people])),
    )


def _gestures(known: Sequence[_KnownFace | None]) -> Gestures:
    """What a face does, its eyes as the network that looks at eyes saw them."""
    openings = np.array([np.nan if one is None else one.opening for one in known])
    return replace(gestures(_faces(known)), eyes=openings)


def _faces(known: Sequence[_KnownFace | None]) -> list[Face | None]:
    return [None if one is None else one.face for one in known]


def _gazes(known: Sequence[_KnownFace | None]) -> Series:
    return np.array([np.nan if one is None else one.gaze for one in known])


def _looked_at(pairs: Iterator[_Pair], device: torch.device) -> Iterator[tuple[_Pair, _Known]]:
    """Each pair with what the networks say of it."""
    mesh, identifier, irises = FaceMesh(device), Identifier(device), IrisFinder(device)
    since = _KNOWN_EVERY  # frames with a face, since one whose person was looked at
    for batch in batched(pairs, _BATCH):
        shown = [(pair, pair.face) for pair in batch if pair.face is not None]

        # What the faces do, and their eyes.
        filmed = _watched(mesh, irises, [(pair.before, face) for pair, face in shown])
        swapped = _watched(mesh, irises, [(pair.after, face) for pair, face in shown])
        seen = iter(zip(filmed, swapped, strict=True))

        for pair in batch:
            if pair.face is None:
                yield pair, _Known(index=pair.index, cut=pair.cut)
                continue

            (before, after), who = next(seen), None
            since += 1
            if since >= _KNOWN_EVERY:
                since = 0
                both = (pair.before, before.face), (pair.after, after.face)
                was, became = identifier.embed([(picture, five_points(face.points)) for picture, face in both])
                who = was, became

            yield pair, _Known(index=pair.index, cut=pair.cut, before=before, after=after, who=who)


def _watched(mesh: FaceMesh, irises: IrisFinder, faces: Sequence[tuple[Picture, Face]]) -> list[_KnownFace]:
    """Faces, looked for near where they are thought to be, and what their eyes do."""
    located = mesh.locate_each(faces)
    eyes = watch_eyes(irises, [(picture, face.points) for (picture, _), face in zip(faces, located, strict=True)])
    return [
        _KnownFace(face=face, gaze=gaze, opening=opening)
        for face, gaze, opening in zip(located, eyes.gazes.tolist(), eyes.openings.tolist(), strict=True)
    ]


def _looks(pair: _Pair, previous: tuple[Picture, Picture] | None) -> FrameLooks:
    if pair.face is None:
        return missing_looks(looks.background_error(pair.before, pair.after, pair.others))
    return frame_looks(pair.before, pair.after, pair.face, previous, pair.others)


def _pairs(files: SwapFiles, frames: Sequence[FrameFaces], numbers: Sequence[int]) -> Iterator[_Pair]:
    """Both videos, frame by frame, as far as both go."""
    before, after = read_frames(files.target, *files.frames), read_frames(files.swap)
    for faces, filmed, swapped in zip(frames, before, after, strict=False):
        yield _Pair(
            index=filmed.index,
            before=filmed.image,
            after=swapped.image,
            face=pick(faces.faces, numbers),
            others=faces.faces,
            cut=faces.cut or filmed.index == files.frames[0],
        )


def check_files(files: SwapFiles) -> None:
    """Raises MediaError if the two cannot be compared frame by frame."""
    if any(is_picture(path) for path in (files.swap, files.target)):
        raise MediaError(f"{files.swap} is a picture", "Evaluate a swapped video: most measures are about movement")

    # As large.
    swap, target = probe(files.swap), probe(files.target)
    if (swap.width, swap.height) != (target.width, target.height):
        raise MediaError(
            f"{files.swap} has {swap.width}x{swap.height} pixels, {files.target} {target.width}x{target.height}",
            "Name the very video that was swapped, with --target",
        )

    # As long, if they say.
    first, stop = files.frames
    if swap.frame_count is None or target.frame_count is None:
        return
    wanted = min(target.frame_count, target.frame_count if stop is None else stop) - first
    if abs(swap.frame_count - wanted) > 1:  # what a file says of itself may be off by one
        raise MediaError(
            f"{files.swap} has {swap.frame_count} frames, where {wanted} of {files.target} are to be compared",
            "Say which frames were swapped with --frames, as for swap",
        )


def summarise(frames: SwapFrames, wanted: Wanted | None, gallery: Mapping[str, Embedding]) -> SwapQuality:
    """All measures of a swap; `gallery` are the people among whom the wanted person is to be recognised."""
    before, after = frames.before, frames.after
    seen = [frames.looks[place] for place in frames.shown]
    shifts = looks.colour_shifts(frames.looks)
    errors = looks.column(frames.looks, "background")
    shakes = [motion.shakes(one.meshes, before.sizes, frames.scenes) for one in (before, after)]

    return SwapQuality(
        frames=len(frames.indices),
        faces=len(frames.shown),
        likeness=None if wanted is None else _likeness(frames, wanted, gallery),
        unswapped=float(looks.unswapped(seen).mean()),
        standing=float(looks.standing(seen).mean()),
        pose_error=float(np.nanmean(motion.pose_errors(before.turns, after.turns))),
        expression_error=float(np.nanmean(motion.expression_errors(before.shapes, after.shapes))),
        mouth=motion.correlation(before.mouth, after.mouth),
        mouth_gain=motion.gain(before.mouth, after.mouth),
        eyes=motion.correlation(before.eyes, after.eyes),
        eyes_gain=motion.gain(before.eyes, after.eyes),
        gaze=motion.correlation(*frames.gazes) if np.nanstd(frames.gazes[0]) > STILL else None,
        delay=motion.delay(before.channels, after.channels),
        trembling=motion.trembling(*shakes),
        boiling=looks.boiling(seen),
        sharpness=float(np.nanmean(looks.sharpness(seen))),
        colour=float(np.nanmean(np.sqrt((shifts[frames.shown] ** 2).sum(axis=1)))),
        flicker=looks.flicker(shifts),
        drift=looks.drift(shifts),
        seam=float(np.nanmean(looks.column(seen, "seam"))),
        background=looks.psnr(float(np.nanmean(errors))) if np.isfinite(errors).any() else None,
    )


def _likeness(frames: SwapFrames, wanted: Wanted, gallery: Mapping[str, Embedding]) -> SwapLikeness:
    others = _others(frames, wanted, gallery)
    faces = frames.swapped[np.isfinite(frames.swapped[:, 0])]
    to_wanted = likeness.distances(faces, wanted.identity)
    to_replaced = likeness.distances(faces, frames.replaced)
    ranks = likeness.ranks(faces, wanted.identity, others)
    sharp = np.nanmean(looks.column(frames.looks, "sharp_after"))

    return SwapLikeness(
        to_wanted=float(to_wanted.mean()),
        to_replaced=float(to_replaced.mean()),
        identity_way=float(likeness.way(faces, frames.replaced, wanted.identity).mean()),
        nearer=float((to_wanted < to_replaced).mean()),
        retrieved=float((ranks == 1).mean()),
        rank=float(ranks.mean()),
        gallery=1 + len(others),
        shape_way=motion.shape_way(frames.before.shapes, wanted.gestures.shapes, frames.after.shapes),
        sharpness_of_wanted=float(sharp / max(wanted.sharpness, 1e-6)),
    )


def _others(frames: SwapFrames, wanted: Wanted, gallery: Mapping[str, Embedding]) -> list[Embedding]:
    """The replaced person, and those of the gallery who are neither that nor the wanted one."""
    known = [wanted.identity, frames.replaced]
    strangers = [one for one in gallery.values() if all(distance(one, other) > SAME_PERSON for other in known)]
    return [frames.replaced, *strangers]


def worst_frames(frames: SwapFrames, wanted: Wanted | None, count: int) -> dict[str, list[tuple[int, float]]]:
    """By measure: the places of the worst frames, the worst first and none near another, with their values."""
    before, after = frames.before, frames.after
    badness: dict[str, tuple[Series, float]] = {
        "expression_error": (motion.expression_errors(before.shapes, after.shapes), 1),
        "pose_error": (motion.pose_errors(before.turns, after.turns), 1),
        "sharpness": (looks.sharpness(frames.looks), -1),
        "seam": (looks.column(frames.looks, "seam"), 1),
    }

    if wanted is not None:
        badness["to_wanted"] = likeness.distances(frames.swapped, wanted.identity), 1

    return {name: _worst(values, sign, count) for name, (values, sign) in badness.items()}


def _worst(values: Series, sign: float, count: int) -> list[tuple[int, float]]:
    """The places of the largest values (smallest, if `sign` is -1), apart by a fiftieth of the clip."""
    apart = max(1, len(values) // 50)
    chosen: list[int] = []

    for place in np.argsort(-sign * values).tolist():
        if np.isfinite(values[place]) and all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
        if len(chosen) == count:
            break
    return [(place, float(values[place])) for place in chosen]


def pictures_at(files: SwapFiles, places: Sequence[int]) -> dict[int, tuple[Picture, Picture]]:
    """The frames at these places, as filmed and swapped."""
    if not places:
        return {}
    wanted, first, last = set(places), files.frames[0], max(places) + 1
    pairs = zip(read_frames(files.target, first, first + last), read_frames(files.swap, 0, last), strict=False)
    return {place: (filmed.image, swapped.image) for place, (filmed, swapped) in enumerate(pairs) if place in wanted}
