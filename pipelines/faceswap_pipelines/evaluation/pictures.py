"""What a report shows: sheets of faces, and curves over time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from faceswap.quality import likeness, looks, motion
from faceswap.quality.looks import patch_box
from faceswap.quality.scales import LIKENESS, SWAP
from faceswap.types import Face, Picture
from faceswap.visuals.charts import Curve
from faceswap.visuals.sheets import captioned, fit, grid, sheet
from faceswap.visuals.timelines import timelines
from faceswap_pipelines.evaluation.faces import Rebuilt
from faceswap_pipelines.evaluation.job import SwapFiles
from faceswap_pipelines.evaluation.swaps import Indices, SwapFrames, SwapPart, pictures_at

_COLUMNS = 6
_SIDE = 200
_CLOSE = 220

Series = Float[np.ndarray, " frames"]


def swap_pictures(files: SwapFiles, part: SwapPart) -> tuple[Picture, dict[str, Picture]]:
    """The sheet of some frames before and after, and by measure the worst ones."""
    frames = part.frames
    even = frames.shown[np.unique(np.linspace(0, len(frames.shown) - 1, _COLUMNS + 2).astype(int)[1:-1])].tolist()
    wanted = {*even, *(place for found in part.worst.values() for place, _ in found)}
    pictures = pictures_at(files, sorted(wanted))

    pairs = [_close_up(pictures[place], frames.faces[place]) for place in even]
    rows = [("as filmed", [before for before, _ in pairs]), ("swapped", [after for _, after in pairs])]
    if part.wanted is not None:
        chosen = np.unique(np.linspace(0, len(part.wanted.pictures) - 1, _COLUMNS).astype(int))
        rows.append(("the wanted person", [part.wanted.pictures[place] for place in chosen]))

    worst = {}
    for name, found in part.worst.items():
        cells = [_worst_pair(name, place, value, pictures, frames) for place, value in found]
        if cells:
            worst[name] = grid([picture for pair in cells for picture in pair], _COLUMNS)
    return sheet(rows, side=_SIDE), worst


def _worst_pair(
    name: str, place: int, value: float, pictures: dict[int, tuple[Picture, Picture]], frames: SwapFrames
) -> list[Picture]:
    """One frame, as filmed and swapped, with its number and what was measured."""
    before, after = _close_up(pictures[place], frames.faces[place])
    text = (SWAP.get(name) or LIKENESS[name]).text(value).replace("°", "deg")
    words = (f"frame {frames.indices[place]}", text)
    return [_square(captioned(one, said, _CLOSE)) for one, said in zip((before, after), words, strict=True)]


def _square(picture: Picture) -> Picture:
    """Padded, so that all have one size."""
    square = np.full((_CLOSE, _CLOSE, 3), 250, np.uint8)
    square[: picture.shape[0], : picture.shape[1]] = picture
    return square


def _close_up(pair: tuple[Picture, Picture], face: Face | None) -> tuple[Picture, Picture]:
    before, after = pair
    if face is None:
        return before, after
    box = patch_box(face.points, (before.shape[0], before.shape[1]))
    return before[box], after[box]


def swap_chart(part: SwapPart) -> Picture:
    """The measures over time."""
    frames, before, after = part.frames, part.frames.before, part.frames.after
    shifts = looks.colour_shifts(frames.looks)

    def curve(name: str, values: Series, among: Indices = frames.indices) -> Curve:
        return Curve(name, list(zip(among.tolist(), values.tolist(), strict=True)))

    panels = {
        "How far the mouth is open": [curve("video", before.mouth), curve("swap", after.mouth)],
        "How far the eyes are open": [curve("video", before.eyes), curve("swap", after.eyes)],
        "Yaw, degrees": [curve("video", before.yaw), curve("swap", after.yaw)],
        "Pitch, degrees": [curve("video", before.pitch), curve("swap", after.pitch)],
        "Expression error, by the distance of the eyes": [
            curve("", motion.expression_errors(before.shapes, after.shapes))
        ],
        "Pose error, degrees": [curve("", motion.pose_errors(before.turns, after.turns))],
        "Sharpness, by the video's own": [curve("", looks.sharpness(frames.looks))],
        "Seam, levels": [curve("", looks.column(frames.looks, "seam"))],
        "Colour, swap less video (CIE Lab)": [
            curve("L", shifts[:, 0]),
            curve("a", shifts[:, 1]),
            curve("b", shifts[:, 2]),
        ],
    }
    if part.wanted is not None:
        known = np.flatnonzero(np.isfinite(frames.swapped[:, 0]))
        to = {"the wanted person": part.wanted.identity, "the replaced person": frames.replaced}
        distances = {name: likeness.distances(frames.swapped[known], who) for name, who in to.items()}
        panels["Distance from"] = [curve(name, away, frames.indices[known]) for name, away in distances.items()]

    return timelines(panels, "frame")


def faces_sheet(rebuilt: Rebuilt) -> Picture:
    """Some of a person's faces: as filmed, rebuilt, and as everybody else."""
    return sheet(rebuilt.rows, side=_SIDE)


def worst_faces(rebuilt: Rebuilt) -> Picture:
    """The faces that were rebuilt worst, each beside the true one."""
    pairs = [
        _square(captioned(fit(picture, _CLOSE), text, _CLOSE))
        for score, true, made in rebuilt.worst[:3]
        for picture, text in ((true, "true"), (made, f"{score:.3f}"))
    ]
    return grid(pairs, 6)
