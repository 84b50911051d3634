"""What portraits do when they are brought to life: expressions, blinks, gazes and turns of their face meshes in space.

Jaws drop about their joints, corners of mouths and brows follow blend shapes, heads turn with the mesh's own depth.
`animation.py` has the pictures follow. Points are in the [-1, 1] coordinates of torch's grid_sample, depth in the same
unit; "head space" is that of `faceswap.faces.landmarks.mean_mesh`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from faceswap.faces.landmarks import LEFT_BROW, LIPS_INNER, LIPS_OUTER, RIGHT_BROW, STABLE, mean_mesh, rigid
from faceswap.types import MeshPoints

Points = Float[Tensor, "batch 468 3"]
Place = Float[np.ndarray, "3"]
PointWeights = Float[np.ndarray, "468"]

# How far a motion goes, at strength 1.
_JAW = 0.40  # radians by which the jaw drops
_LIFT = -0.25  # of the eye's opening: how much wider than it is
_YAW, _PITCH = math.radians(13), math.radians(8)  # standard deviations of the head's turn
_FARTHEST = 2.2  # times these
_SHARE_BLINKS = 0.3  # of faces whose lids are wholly shut
_SHARE_WIDE = 0.35  # of faces whose lids stay about as they are
_SHARE_SPEAKS = 0.65  # of faces whose jaw drops
_GAZE = 0.12, 0.05  # of the eye's width: how far irises move across and down

_JAW_AXIS = 0.35, 0.75  # y and z of the jaw's joints in head space, just before the ears


@dataclass(frozen=True, kw_only=True)
class Portraits:
    """Still faces, as a batch."""

    points: Points
    """The mesh."""
    turn: Float[Tensor, "batch 3 3"]
    """How the head is turned, and its size and place: from head space to the picture's, as `landmarks.rigid` has it."""
    scale: Float[Tensor, " batch"]
    centre: Float[Tensor, "batch 3"]

    def __getitem__(self, chosen: Tensor) -> Portraits:
        """Some of them, by number."""
        return Portraits(
            points=self.points[chosen], turn=self.turn[chosen], scale=self.scale[chosen], centre=self.centre[chosen]
        )

    def heads(self) -> Points:
        """The points in head space."""
        away = self.points - self.centre[:, None]
        return torch.einsum("bpi,bij->bpj", away, self.turn) / self.scale[:, None, None]

    def to(self, device: torch.device) -> Portraits:
        """The same, there."""
        return Portraits(
            points=self.points.to(device),
            turn=self.turn.to(device),
            scale=self.scale.to(device),
            centre=self.centre.to(device),
        )


def portraits(meshes: Float[np.ndarray, "faces 468 3"], side: int) -> Portraits:
    """Of faces whose meshes lie in the pixels of `side` px crops."""
    scaled = [_to_grid(points, side) for points in meshes]
    fits = [rigid(points) for points in scaled]
    centre = [points[list(STABLE)].mean(axis=0) for points in scaled]
    return Portraits(
        points=torch.from_numpy(np.stack(scaled)),
        turn=torch.from_numpy(np.stack([fit.turn for fit in fits]).astype(np.float32)),
        scale=torch.tensor([fit.scale for fit in fits], dtype=torch.float32),
        centre=torch.from_numpy(np.stack(centre).astype(np.float32)),
    )


def nearest_expressions(faces: Portraits, persons: Sequence[int], count: int) -> Int64[Tensor, "faces count"]:
    """For each face `count` faces of other people that do the most alike: mouth, eyes and brows."""
    heads = faces.heads()
    gaps = [(13, 14), (78, 308), (61, 13), (291, 13), (159, 145), (386, 374), (105, 159), (334, 386)]
    does = torch.stack([(heads[:, a, :2] - heads[:, b, :2]).norm(dim=1) for a, b in gaps], dim=1)
    does = does / does.std(dim=0, correction=0)
    away = torch.cdist(does, does)
    who = torch.tensor(persons, device=away.device)
    away = away.masked_fill(who[:, None] == who, torch.inf)
    return away.topk(count, largest=False).indices


def _to_grid(points: MeshPoints, side: int) -> MeshPoints:
    flat = (points[:, :2] + 0.5) * (2 / side) - 1
    return np.column_stack([flat, points[:, 2] * (2 / side)]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What each face of a batch does; 0 is what it does in its picture."""

    blend: Float[Tensor, "batch shapes"]
    """How much of each of `_shapes`: the jaw first."""
    lids: Float[Tensor, "batch 2"]
    """How far the left and the right eye's are closed: 1 is shut, less than 0 wider open."""
    gaze: Float[Tensor, "batch 2"]
    """By how much the irises move, across and down, in widths of the eye."""
    turn: Float[Tensor, "batch 3 3"]
    """How the head is turned then, from head space."""


def sample_motions(faces: Portraits, strength: float, rng: torch.Generator) -> Motion:
    """What faces do, by chance, on `rng`'s device; `strength` 0 is nothing at all, 1 all that faces do."""
    batch, device = len(faces.scale), rng.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, device=device).clamp(-_FARTHEST, _FARTHEST)

    # Muscles.
    shapes = normal(batch, len(_shapes())) * 0.5
    speaks = (uniform(batch) < _SHARE_SPEAKS).float()
    shapes[:, 0] = speaks * uniform(batch)

    # Lids.
    chance, closed = uniform(batch, 1), uniform(batch, 2) * 0.15 + uniform(batch, 1) * 0.85
    lids = torch.where(chance < _SHARE_BLINKS, torch.ones_like(closed), closed)
    wide = _LIFT * (2 * uniform(batch, 1) - 1)
    lids = torch.where(chance > 1 - _SHARE_WIDE, wide.expand(-1, 2), lids)

    # Eyes and head.
    gaze = (2 * uniform(batch, 2) - 1) * torch.tensor(_GAZE, device=device)
    turn = normal(batch, 2) * torch.tensor((_YAW, _PITCH), device=device)

    return Motion(
        blend=strength * shapes,
        lids=strength * lids,
        gaze=strength * gaze,
        turn=turned(faces, strength * turn),
    )


@cache
def _shapes() -> Float[np.ndarray, "shapes 468 3"]:
    """Blend shapes in head space: by how much each point moves when a muscle is at work."""
    mean = mean_mesh()

    x, y = mean[:, 0], mean[:, 1]
    jaw, middle = _jaw_weights(), mean[list(LIPS_INNER)].mean(axis=0)
    axis_y, axis_z = _JAW_AXIS

    lips = _near(middle, 0.45)
    upper = ((y < _mouth_line(x)) * _near(mean[LIPS_OUTER[15]], 0.25))[:, None]

    smile, raised, frown = np.zeros((3, *mean.shape))
    for corner, brow, side in ((LIPS_OUTER[0], LEFT_BROW, -1), (LIPS_OUTER[10], RIGHT_BROW, 1)):
        smile += _near(mean[corner], 0.3)[:, None] * np.array([side * 0.16, -0.1, 0.06])
        raised += _near(mean[list(brow)].mean(axis=0), 0.35)[:, None] * np.array([0, -0.12, 0])
        frown += _near(mean[brow[4]], 0.2)[:, None] * np.array([-side * 0.06, 0.05, 0])

    return np.stack([
        _JAW * jaw[:, None] * np.stack([np.zeros_like(y), axis_z - mean[:, 2], y - axis_y], axis=1),
        jaw[:, None] * np.array([0.1, 0, 0]),
        smile,
        0.35 * lips[:, None] * np.stack([x - middle[0], 0 * y, 0 * y], axis=1),
        upper * np.array([0, -0.06, 0]),
        raised,
        frown,
    ])  # fmt: skip


def _near(place: Place, reach: float) -> PointWeights:
    """1 at a place of the mean mesh, falling off as a Gaussian of this standard deviation."""
    away = np.linalg.norm(mean_mesh()[:, :2] - place[:2], axis=1)
    near: PointWeights = np.exp(-0.5 * (away / reach) ** 2)
    return near


def _mouth_line(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """How high the slit between the mean mesh's lips lies at `x`."""
    mean = mean_mesh()
    lower, upper = mean[list(LIPS_INNER[:11])], mean[[*LIPS_INNER[:1], *LIPS_INNER[:9:-1]]]
    low, high = np.interp(x, lower[:, 0], lower[:, 1]), np.interp(x, upper[:, 0], upper[:, 1])
    return np.asarray((low + high) / 2)


def _jaw_weights() -> PointWeights:
    """How much each point goes along with the jaw: the lower lip and the chin wholly, the corners of the mouth a
    little, the cheeks the less the higher up."""
    mean = mean_mesh()

    x, y = np.abs(mean[:, 0]), mean[:, 1]
    corner_x, corner_y = mean[LIPS_INNER[10], 0], mean[LIPS_INNER[10], 1]
    chin = y.max()

    beside = np.clip((y - corner_y) / (chin - corner_y) * 1.4 + 0.25, 0, 1)
    below = 1 - 0.7 * np.clip(x / corner_x, 0, 1) ** 2
    under = np.where(y > _mouth_line(mean[:, 0]), np.maximum(below, beside), 0.0)
    weights = np.where(x < corner_x, under, beside)

    corners = [LIPS_INNER[0], LIPS_INNER[10], LIPS_OUTER[0], LIPS_OUTER[10]]
    weights[corners] = 0.3
    return np.asarray(weights)


def apply_motion(faces: Portraits, motion: Motion) -> Points:
    """The meshes as they become when heads turn and muscles work; lids do not move yet."""
    shapes = torch.from_numpy(_shapes()).to(faces.points)
    moved = faces.heads() + torch.einsum("bs,spi->bpi", motion.blend, shapes)
    return torch.einsum("bpj,bij->bpi", moved, motion.turn) * faces.scale[:, None, None] + faces.centre[:, None]


def turned(faces: Portraits, turn: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3 3"]:
    """How the heads are turned once they have turned further, by yaw and pitch in radians."""
    return faces.turn @ _rotation(turn)


def _rotation(turn: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3 3"]:
    """The rotation by yaw and pitch, in head space."""
    (cy, cp), (sy, sp) = turn.cos().unbind(1), turn.sin().unbind(1)
    zero, one = torch.zeros_like(cy), torch.ones_like(cy)
    yaw = torch.stack([cy, zero, -sy, zero, one, zero, sy, zero, cy], dim=1)
    pitch = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], dim=1)
    return yaw.reshape(-1, 3, 3) @ pitch.reshape(-1, 3, 3)
