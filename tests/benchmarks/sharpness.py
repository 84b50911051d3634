"""How sharp a swapped video is, whose face it shows, and whether it moves as the old one did.

    uv run python tests/benchmarks/sharpness.py SWAPPED VIDEO WANTED [--frames 310:377]

VIDEO is what was swapped, WANTED shows the person whose face was put in. Prints, over the frames given (of VIDEO;
SWAPPED has to begin with the same frame as VIDEO, or with --begins):

- fine detail: variance of the Laplacian of the luminance in the hull of eyes, brows and mouth, swap over video; and
  over that of WANTED, who may be smoother or rougher than whom the swap replaces;
- boiling: mean change from frame to frame of what is finer than a 5 px mean there, relative to how much of it there
  is, swap over video;
- mouth, eyes: correlation of how far they are open before and after, by the face mesh;
- trembling: root mean square of the second difference over time of all landmarks, swap over video;
- identity: distance of the swap from WANTED and from VIDEO's person, the share of the way from the one to the other
  (0: VIDEO's person, 1: WANTED), and the share of frames that are nearer to WANTED;
- shape: the share of that way which the mean face mesh has gone, as a rigid body in space laid upon the mean face.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from faceswap.faces.identity import Identifier, distance, typical
from faceswap.faces.landmarks import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
    STABLE,
    FaceMesh,
    eye_opening,
    five_points,
    mouth_opening,
    rigid,
)
from faceswap.media.video import read_frames
from faceswap.types import Face, Picture
from faceswap_pipelines.common.analyse import FaceFinder

CPU = torch.device("cpu")
HULL = [*LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW, *LIPS_OUTER]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("swapped", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("wanted", type=Path)
    parser.add_argument("--frames", default="0:", help="of VIDEO, as FIRST:STOP")
    parser.add_argument("--begins", type=int, default=0, help="the frame of VIDEO with which SWAPPED begins")
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
    hulls = [hull(image, face) for image, face in zip(before, old, strict=True)]

    swap, video, own = (
        np.array([laplacian(image, hull(image, face)) for image, face in zip(images, faces, strict=True)])
        for images, faces in ((after, old), (before, old), (wanted, target))
    )
    to_own = swap.mean() / own.mean()
    print(f"fine detail: {np.mean(swap / video):.2f} of the video's, {to_own:.2f} of the wanted person's own")
    print(f"boiling: {boiling(after, hulls) / boiling(before, hulls):.2f} of the video's")
    for name, opening in (("mouth", mouth_opening), ("eyes", lambda points: sum(eye_opening(points)))):
        values = [[opening(face.points) for face in some] for some in (old, new)]
        print(f"{name}: r {np.corrcoef(values)[0, 1]:.2f}")
    print(f"trembling: {trembling(new, old) / trembling(old, old):.2f} of the video's")
    print_identity(before, old, after, new, wanted, target)
    there, here, made = (mean_shape(some) for some in (target, old, new))
    print(f"shape: {((made - here) * (there - here)).sum() / ((there - here) ** 2).sum():.2f} of the way")


def faces_of(finder: FaceFinder, images: list[Picture]) -> list[Face]:
    """The largest face of each picture."""
    _, frames = finder.look_at(images)
    return [max(faces.faces, key=lambda face: face.size) for _, faces in frames]


def hull(image: Picture, face: Face) -> np.ndarray:
    """Which pixels lie in the hull of eyes, brows and mouth."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [cv2.convexHull(face.points[HULL, :2].astype(np.int32))], 1)
    return mask.astype(bool)


def luminance(image: Picture) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def laplacian(image: Picture, inside: np.ndarray) -> float:
    return float(cv2.Laplacian(luminance(image), cv2.CV_32F)[inside].var())


def boiling(images: list[Picture], hulls: list[np.ndarray]) -> float:
    fine = [luminance(image) - cv2.blur(luminance(image), (5, 5)) for image in images]
    pairs = list(zip(fine, fine[1:], hulls[1:], strict=False))
    change = np.mean([np.abs(b - a)[inside].mean() for a, b, inside in pairs])
    return float(change / np.mean([np.abs(b)[inside].mean() for _, b, inside in pairs]))


def trembling(faces: list[Face], old: list[Face]) -> float:
    points = np.stack([face.points[:, :2] / like.size for face, like in zip(faces, old, strict=True)])
    return float(np.sqrt((np.diff(points, n=2, axis=0) ** 2).mean()))


def mean_shape(faces: list[Face]) -> np.ndarray:
    """The mean of the meshes, each turned upright and brought to the size of the mean face."""
    shapes = []
    for face in faces:
        fit, stable = rigid(face.points), face.points[list(STABLE)].mean(axis=0)
        shapes.append((face.points - stable) @ fit.turn / fit.scale)
    return np.mean(shapes, axis=0)


def print_identity(
    before: list[Picture],
    old: list[Face],
    after: list[Picture],
    new: list[Face],
    wanted: list[Picture],
    target: list[Face],
) -> None:
    identifier = Identifier(CPU)

    def known(images: list[Picture], faces: list[Face]) -> list[np.ndarray]:
        return list(identifier.embed([(image, five_points(f.points)) for image, f in zip(images, faces, strict=True)]))

    source, goal, swapped = known(before, old), known(wanted, target), known(after, new)
    source_typical, goal_typical = typical(np.stack(source)), typical(np.stack(goal))
    to_goal = np.array([distance(one, goal_typical) for one in swapped])
    to_source = np.array([distance(one, source_typical) for one in swapped])
    apart = goal_typical - source_typical
    way = np.array([(one - source_typical) @ apart / (apart @ apart) for one in swapped])
    print(
        f"identity: {to_goal.mean():.2f} from the wanted person, {to_source.mean():.2f} from the replaced one;"
        f" {way.mean():.2f} of the way; nearer to the wanted one in {np.mean(to_goal < to_source):.0%} of the frames"
    )


if __name__ == "__main__":
    main()
