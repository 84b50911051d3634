"""How sharp a swapped video is, whose face it shows, and whether it moves as the old one did.

    uv run python tests/benchmarks/sharpness.py SWAPPED VIDEO WANTED [--frames 310:377]

VIDEO is what was swapped, WANTED shows the person whose face was put in. Prints, over the frames given (of VIDEO;
SWAPPED has to begin with the same frame as VIDEO, or with --begins):

- fine detail: variance of the Laplacian of the luminance in the hull of eyes, brows and mouth, swap over video; and
  over that of WANTED, who may be smoother or rougher than whom the swap replaces;
- boiling: mean change from frame to frame of what is finer than a 5 px mean there, relative to how much of it there
  is, swap over video;
- mouth, eyes: correlation of how far they are open before and after, by the face mesh and by the iris network;
- trembling: root mean square of the second difference over time of all landmarks, swap over video;
- identity: distance of the swap from WANTED and from VIDEO's person, the share of the way from the one to the other
  (0: VIDEO's person, 1: WANTED), and the share of frames that are nearer to WANTED;
- shape: the share of that way which the mean face mesh has gone, as a rigid body in space laid upon the mean face.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from record import Table, add_record_option, record

from faceswap.faces.identity import Identifier, typical
from faceswap.faces.irises import IrisFinder
from faceswap.faces.landmarks import FaceMesh, five_points
from faceswap.media.video import read_frames
from faceswap.quality import likeness, looks, motion
from faceswap.quality.eyes import watch_eyes
from faceswap.quality.motion import Gestures, gestures
from faceswap.types import Face, Picture
from faceswap_pipelines.common.analyse import FaceFinder

COLUMNS = {
    "swap": "",
    "fine detail": ".2f",
    "of her or his own": ".2f",
    "boiling": ".2f",
    "mouth, r": ".2f",
    "eyes, r": ".2f",
    "trembling": ".2f",
    "from the wanted person": ".2f",
    "from the replaced one": ".2f",
    "way": ".2f",
    "frames nearer": ".0%",
    "shape": ".2f",
}
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("swapped", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("wanted", type=Path)
    parser.add_argument("--frames", default="0:", help="of VIDEO, as FIRST:STOP")
    parser.add_argument("--begins", type=int, default=0, help="the frame of VIDEO with which SWAPPED begins")
    add_record_option(parser)
    arguments = parser.parse_args()

    first, _, stop = arguments.frames.partition(":")
    start, end = int(first or 0), int(stop) if stop else None
    before = [frame.image for frame in read_frames(arguments.video, start, end)]
    moved = start - arguments.begins
    after = [frame.image for frame in read_frames(arguments.swapped, moved, moved + len(before))]
    wanted = [frame.image for frame in read_frames(arguments.wanted)][::5]

    finder = FaceFinder(CPU)
    old, target = faces_of(finder, before), faces_of(finder, wanted)
    new = FaceMesh(CPU).locate_each(list(zip(after, old, strict=True)))
    here, made, there = (gestures(faces) for faces in (old, new, target))
    here, made = with_eyes(here, before, old), with_eyes(made, after, new)

    # How it looks.
    pairs = list(zip(before, after, strict=True))
    since = [None, *pairs[:-1]]
    seen = [looks.frame_looks(*pair, face, then, []) for pair, face, then in zip(pairs, old, since, strict=True)]
    own = np.mean([sharp(image, face) for image, face in zip(wanted, target, strict=True)])
    to_own = looks.column(seen, "sharp_after").mean() / own
    look = [looks.sharpness(seen).mean(), to_own, looks.boiling(seen)]

    # How it moves.
    together = [motion.correlation(getattr(here, name), getattr(made, name)) for name in ("mouth", "eyes")]
    scenes = np.zeros(len(old), int)
    shakes = [motion.shakes(one.meshes, here.sizes, scenes) for one in (here, made)]
    moves = [*together, motion.trembling(*shakes)]

    # Whose face it is.
    whose = identity(before, old, after, new, wanted, target)
    shape = motion.shape_way(here.shapes, there.shapes, made.shapes)

    figures = map(float, [*look, *moves, *whose, shape])
    table = Table(COLUMNS, [[f"{arguments.wanted.stem} in the video of {arguments.video.stem}", *figures]])
    print(table)
    record(arguments.record, [table])


def faces_of(finder: FaceFinder, images: list[Picture]) -> list[Face]:
    """The largest face of each picture."""
    _, frames = finder.look_at(images)
    return [max(faces.faces, key=lambda face: face.size) for _, faces in frames]


def with_eyes(gestures: Gestures, images: list[Picture], faces: list[Face]) -> Gestures:
    """The same, with the eyes as the network that looks at eyes sees them."""
    shown = [(image, face.points) for image, face in zip(images, faces, strict=True)]
    return replace(gestures, eyes=watch_eyes(IrisFinder(CPU), shown).openings)


def sharp(image: Picture, face: Face) -> float:
    """Variance of the Laplacian in the hull of eyes, brows and mouth."""
    return looks.laplacian_variance(looks.luminance(image), looks.feature_hull(face.points, image.shape[:2]))


def identity(
    before: list[Picture],
    old: list[Face],
    after: list[Picture],
    new: list[Face],
    wanted: list[Picture],
    target: list[Face],
) -> list[float]:
    """Distances from the two, the share of the way between them, and the share of frames nearer to the wanted one."""
    identifier = Identifier(CPU)

    def known(images: list[Picture], faces: list[Face]) -> np.ndarray:
        return identifier.embed([(image, five_points(f.points)) for image, f in zip(images, faces, strict=True)])

    source, goal, swapped = typical(known(before, old)), typical(known(wanted, target)), known(after, new)
    to_goal, to_source = likeness.distances(swapped, goal), likeness.distances(swapped, source)
    way = likeness.way(swapped, source, goal)
    return [to_goal.mean(), to_source.mean(), way.mean(), np.mean(to_goal < to_source)]


if __name__ == "__main__":
    main()
