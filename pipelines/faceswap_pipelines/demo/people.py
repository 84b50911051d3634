"""Films of two people who do not exist: portraits that a model has painted, brought to life.

The portraits are those of the package `openpeople` (MIT). They act as the portraits do from which base weights are
learnt (`faceswap.training.base_weights`): heads turn with the face mesh's own depth, jaws drop, lids close. Only that
here all of it changes smoothly, in time, before a camera that somebody holds in their hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.resources import as_file, files

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.media.pictures import read_picture
from faceswap.training.base_weights.acting import Motion, Portraits, portraits, turned
from faceswap.training.base_weights.animation import animate, paint_mouths
from faceswap.types import Face, Picture
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.common.cpu import one_thread_each

PEOPLE: Mapping[str, str] = {"ines": "P001", "samira": "P010"}
"""The leads, by the names that they have here: the numbers of their portraits."""
SIZE = 512
"""Pixels of a film's side."""

Curve = Float[np.ndarray, " frames"]

_PORTRAIT_SIDE = 1024  # of what is kept of a portrait: enough for a film that shows a little less than all of it
_ROUND_THE_FACE = 2.1  # times the face's height
_ABOVE = 0.52  # share of the side that lies above the face's middle
_ZOOM = 0.94  # the camera sees so much of it, so that it may sway
_SHUTTING, _OPENING = (0.5,), (0.7, 0.35, 0.1)  # frame by frame: how far the lids of a blink are closed
_SHUT = (2, 2, 2, 9)  # frames for which they are: now and then somebody shuts their eyes, which decoders learn from
_MOUTH = (0.5, 0.5, 0.3, 1.0, 0.5)  # see `paint_mouths`: no teeth, which would be a bar in a picture so large
_NOISE = 1.5  # levels: what a camera adds


@dataclass(frozen=True, kw_only=True)
class _Script:
    """What somebody does, frame by frame, and where the camera is."""

    blend: Float[np.ndarray, "frames 7"]
    lids: Curve
    gaze: Float[np.ndarray, "frames 2"]
    turn: Float[np.ndarray, "frames 2"]
    """Yaw and pitch, radians."""
    sway: Float[np.ndarray, "frames 4"]
    """Of the camera: across, down, nearer (shares of the picture), and its roll (radians)."""


def film(person: str, count: int, frame_rate: float = 25.0) -> Iterator[Picture]:
    """The first `count` frames of the film of one of PEOPLE; always the same ones."""
    portrait, faces = _portrait(person)
    script = _written(np.random.default_rng(int(PEOPLE[person][1:])), count, frame_rate)
    shoot = partial(_shot, portrait, faces, script)
    with one_thread_each(), ThreadPoolExecutor() as pool:
        yield from pool.map(shoot, range(count))


def _portrait(person: str) -> tuple[Float[Tensor, "1 3 side side"], Portraits]:
    """The head and shoulders of a portrait, RGB 0..1, and the face mesh in it."""
    where = files("openpeople") / "data" / "curated" / PEOPLE[person] / "assets" / "studio_portrait.jpg"
    with as_file(where) as path:
        picture = read_picture(path)

    _, [(_, found)] = FaceFinder(torch.device("cpu")).look_at([picture])
    face = max(found.faces, key=lambda face: face.size)

    # Square, round the face.
    left, top, right, bottom = face.box
    side = _ROUND_THE_FACE * (bottom - top)
    scale = _PORTRAIT_SIDE / side
    corner = np.array([(left + right) / 2 - side / 2, (top + bottom) / 2 - _ABOVE * side])
    move = np.column_stack([scale * np.eye(2), -scale * corner])

    square = (_PORTRAIT_SIDE, _PORTRAIT_SIDE)
    crop = cv2.warpAffine(picture, move, square, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255, _mesh_in(face, move, scale)


def _mesh_in(face: Face, move: Float[np.ndarray, "2 3"], scale: float) -> Portraits:
    flat = face.points[:, :2] @ move[:, :2].T + move[:, 2]
    points = np.column_stack([flat, face.points[:, 2] * scale]).astype(np.float32)
    return portraits(points[None], _PORTRAIT_SIDE)


def _written(rng: np.random.Generator, count: int, frame_rate: float) -> _Script:
    """Somebody who speaks now and then, looks about, smiles, frowns and blinks."""

    def wave(period: float, size: float = 1.0) -> Curve:
        return size * _smooth(rng, count, period * frame_rate)

    speaks = np.clip(wave(5) + 0.5, 0, 1)
    jaw = np.clip(0.55 * np.abs(wave(0.45)) * speaks, 0, 0.9)
    blend = np.stack(
        [
            jaw,
            np.zeros(count),
            np.clip(wave(4, 0.5) + 0.1, -0.2, 1.0),  # a smile
            wave(0.6, 0.25) * speaks,  # lips wide or pursed
            np.clip(wave(0.7, 0.3) * speaks, 0, 1),  # the upper one raised
            wave(3, 0.5),  # brows
            np.clip(wave(4, 0.4), 0, 1),  # a frown
        ],
        axis=1,
    )

    sway = np.stack([wave(4, 0.02), wave(3, 0.012), wave(5, 0.015), wave(4, 0.02)], axis=1)
    return _Script(
        blend=blend,
        lids=_blinks(rng, count),
        gaze=_glances(rng, count),
        turn=np.stack([wave(3.2, 0.16), wave(2.4, 0.06)], axis=1),
        sway=sway,
    )


def _smooth(rng: np.random.Generator, count: int, period: float) -> Curve:
    """A sum of sines of deviation 1 that changes its mind about once in `period` frames."""
    frame = np.arange(count)
    waves = [np.sin(2 * np.pi * (frame * rng.uniform(0.4, 1.4) / period + rng.uniform())) for _ in range(6)]
    return np.asarray(np.sum(waves, axis=0) / np.sqrt(3))


def _blinks(rng: np.random.Generator, count: int) -> Curve:
    lids = np.zeros(count)
    at = int(rng.integers(10, 40))
    while at < count:
        blink = [*_SHUTTING, *[1.0] * int(rng.choice(_SHUT)), *_OPENING][: count - at]
        lids[at : at + len(blink)] = blink
        at += int(rng.integers(30, 75))
    return lids


def _glances(rng: np.random.Generator, count: int) -> Float[np.ndarray, "frames 2"]:
    """Eyes jump from one place to the next."""
    gaze = np.zeros((count, 2))
    at = 0
    while at < count:
        until = at + int(rng.integers(20, 60))
        gaze[at:until] = rng.normal(0, (0.05, 0.02))
        at = until
    return gaze


def _shot(portrait: Float[Tensor, "1 3 side side"], faces: Portraits, script: _Script, frame: int) -> Picture:
    """One frame."""
    motion = Motion(
        blend=_row(script.blend[frame]),
        lids=_row(np.repeat(script.lids[frame], 2)),
        gaze=_row(script.gaze[frame]),
        turn=turned(faces, _row(script.turn[frame])),
    )

    animated = animate(faces, motion, _camera(script.sway[frame]))
    seen = functional.grid_sample(
        portrait, animated.source, mode="bicubic", padding_mode="border", align_corners=False
    ).clamp(0, 1)
    painted = paint_mouths(seen, animated, torch.tensor([_MOUTH]))[0]

    noise = np.random.default_rng(frame).normal(0, _NOISE, (SIZE, SIZE, 1))
    levels = painted.permute(1, 2, 0).numpy() * 255 + noise
    return np.clip(levels + 0.5, 0, 255).astype(np.uint8)


def _camera(sway: Float[np.ndarray, 4]) -> Float[Tensor, "1 size size 2"]:
    """Where in the portrait each pixel of the frame lies, in the coordinates of grid_sample."""
    across, down, nearer, roll = map(float, sway)
    along = (2 * torch.arange(SIZE) + 1) / SIZE - 1
    still = torch.stack(torch.meshgrid(along, along, indexing="xy"), dim=-1)
    cos, sin = np.cos(roll), np.sin(roll)
    turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float32) * (1 + nearer)
    return _ZOOM * (still @ turn.T + torch.tensor([across, down]))[None]


def _row(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))[None]
