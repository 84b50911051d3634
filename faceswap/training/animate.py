"""Portraits that speak, blink and turn their heads: from one still picture, a face in many expressions and poses.

Face reenactment by warping, as puppeteers of photographs do it (Averbuch-Elor et al., "Bringing portraits to life",
2017): the 468 points of the face mesh are moved in space, and the picture follows them. Lids close over the eyes,
irises move between them, heads turn with the mesh's own depth; behind opened lips a mouth is painted. What a base model
learns faces from has to show expressions, and official portraits show but one.

All of it works on batches on the device. Points and places are in the [-1, 1] coordinates of torch's grid_sample, depth
in the same unit; "head space" is that of `faceswap.faces.landmarks.mean_mesh`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from faceswap.faces.landmarks import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
    STABLE,
    mean_mesh,
    rigid,
)
from faceswap.types import MeshPoints

Points = Float[Tensor, "batch 468 3"]
Places = Float[Tensor, "batch height width 2"]
Place = Float[np.ndarray, "3"]
PointWeights = Float[np.ndarray, "468"]

# How far an act goes, at strength 1.
_JAW = 0.40  # radians by which the jaw drops
_LIFT = -0.25  # of the eye's opening: how much wider than it is
_YAW, _PITCH = math.radians(13), math.radians(8)  # standard deviations of the head's turn
_FARTHEST = 2.2  # times these
_SHARE_BLINKS = 0.3  # of faces whose lids are wholly shut
_SHARE_WIDE = 0.35  # of faces whose lids stay about as they are
_SHARE_SPEAKS = 0.65  # of faces whose jaw drops
_GAZE = 0.12, 0.05  # of the eye's width: how far irises move across and down

_JAW_AXIS = 0.35, 0.75  # y and z of the jaw's joints in head space, just before the ears
_SOFTNESS = 0.02  # below this distance the picture follows no single point of the mesh
_FOLLOWED = 32  # places along a side at which it is worked out how the skin follows
_UPPER = 0.85  # share of the way that the upper lid makes when an eye shuts
_LID_ROOM = 0.9  # of half the eye's width: how far from a lid the skin moves along
_AT_ONCE = {"cpu": 4, "cuda": 1024}  # faces: a processor's cache is small
_HIDING = 8.0  # by how many powers of e a point counts more than one that lies half a picture behind it
_SHADES = 0.18  # mean brightness of the inside of a mouth


@dataclass(frozen=True)
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
        return Portraits(self.points[chosen], self.turn[chosen], self.scale[chosen], self.centre[chosen])

    def heads(self) -> Points:
        """The points in head space."""
        away = self.points - self.centre[:, None]
        return torch.einsum("bpi,bij->bpj", away, self.turn) / self.scale[:, None, None]

    def to(self, device: torch.device) -> Portraits:
        """The same, there."""
        return Portraits(*(value.to(device) for value in (self.points, self.turn, self.scale, self.centre)))


def portraits(meshes: Float[np.ndarray, "faces 468 3"], side: int) -> Portraits:
    """Of faces whose meshes lie in the pixels of `side` px crops."""
    scaled = [_to_grid(points, side) for points in meshes]
    fits = [rigid(points) for points in scaled]
    centre = [points[list(STABLE)].mean(axis=0) for points in scaled]
    return Portraits(
        torch.from_numpy(np.stack(scaled)),
        torch.from_numpy(np.stack([fit.turn for fit in fits]).astype(np.float32)),
        torch.tensor([fit.scale for fit in fits], dtype=torch.float32),
        torch.from_numpy(np.stack(centre).astype(np.float32)),
    )


def alike(faces: Portraits, persons: Sequence[int], count: int) -> Int64[Tensor, "faces count"]:
    """For each face `count` faces of other people that do the most alike: mouth, eyes and brows."""
    heads = faces.heads()
    gaps = [(13, 14), (78, 308), (61, 13), (291, 13), (159, 145), (386, 374), (105, 159), (334, 386)]
    does = torch.stack([(heads[:, a, :2] - heads[:, b, :2]).norm(dim=1) for a, b in gaps], dim=1)
    does = does / does.std(dim=0)
    away = torch.cdist(does, does)
    who = torch.tensor(persons, device=away.device)
    away = away.masked_fill(who[:, None] == who, torch.inf)
    return away.topk(count, largest=False).indices


def _to_grid(points: MeshPoints, side: int) -> MeshPoints:
    flat = (points[:, :2] + 0.5) * (2 / side) - 1
    return np.column_stack([flat, points[:, 2] * (2 / side)]).astype(np.float32)


@dataclass(frozen=True)
class Act:
    """What each face of a batch does; 0 is what it does in its picture."""

    blend: Float[Tensor, "batch shapes"]
    """How much of each of `_shapes`: the jaw first."""
    lids: Float[Tensor, "batch 2"]
    """How far the left and the right eye's are closed: 1 is shut, less than 0 wider open."""
    gaze: Float[Tensor, "batch 2"]
    """By how much the irises move, across and down, in widths of the eye."""
    turn: Float[Tensor, "batch 3 3"]
    """How the head is turned then, from head space."""


def draw_acts(faces: Portraits, strength: float, rng: torch.Generator) -> Act:
    """What faces do, by chance, on `rng`'s device; `strength` 0 is nothing at all, 1 all that faces do."""
    batch, device = len(faces.scale), rng.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng, device=device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, device=device).clamp(-_FARTHEST, _FARTHEST)

    shapes = normal(batch, len(_shapes())) * 0.5
    speaks = (uniform(batch) < _SHARE_SPEAKS).float()
    shapes[:, 0] = speaks * uniform(batch)
    chance, closed = uniform(batch, 1), uniform(batch, 2) * 0.15 + uniform(batch, 1) * 0.85
    lids = torch.where(chance < _SHARE_BLINKS, torch.ones_like(closed), closed)
    wide = _LIFT * (2 * uniform(batch, 1) - 1)
    lids = torch.where(chance > 1 - _SHARE_WIDE, wide.expand(-1, 2), lids)
    gaze = (2 * uniform(batch, 2) - 1) * torch.tensor(_GAZE, device=device)
    turn = normal(batch, 2) * torch.tensor((_YAW, _PITCH), device=device)
    return Act(strength * shapes, strength * lids, strength * gaze, faces.turn @ _rotation(strength * turn))


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


def _moved(faces: Portraits, act: Act) -> Points:
    """The meshes as they become when heads turn and muscles work; lids do not move yet."""
    shapes = torch.from_numpy(_shapes()).to(faces.points)
    moved = faces.heads() + torch.einsum("bs,spi->bpi", act.blend, shapes)
    return torch.einsum("bpj,bij->bpi", moved, act.turn) * faces.scale[:, None, None] + faces.centre[:, None]


def _rotation(turn: Float[Tensor, "batch 2"]) -> Float[Tensor, "batch 3 3"]:
    """The rotation by yaw and pitch, in head space."""
    (cy, cp), (sy, sp) = turn.cos().unbind(1), turn.sin().unbind(1)
    zero, one = torch.zeros_like(cy), torch.ones_like(cy)
    yaw = torch.stack([cy, zero, -sy, zero, one, zero, sy, zero, cy], dim=1)
    pitch = torch.stack([one, zero, zero, zero, cp, -sp, zero, sp, cp], dim=1)
    return yaw.reshape(-1, 3, 3) @ pitch.reshape(-1, 3, 3)


@dataclass(frozen=True)
class Animated:
    """How to paint animated faces."""

    source: Places
    """Where in the portrait each pixel is to be taken from."""
    mouth: Bool[Tensor, "batch height width"]
    """The pixels inside an opened mouth that the portrait does not show."""
    depth: Float[Tensor, "batch height width"]
    """How far down in the mouth a pixel lies: 0 at the upper lip's middle, 1 at the lower one's."""


def animate(faces: Portraits, act: Act, places: Places) -> Animated:
    """What `faces` that act show at `places` (pixel by pixel of an output picture)."""
    before, after = faces.points, _moved(faces, act)
    # How the skin follows is costly to work out, and smooth: some pixels will do.
    planes = places.permute(0, 3, 1, 2)
    coarse = functional.adaptive_avg_pool2d(planes, _FOLLOWED).permute(0, 2, 3, 1)
    flow = _follow(coarse, after, (before - after)[..., :2]).permute(0, 3, 1, 2)
    flow = functional.interpolate(flow, planes.shape[2:], mode="bilinear", align_corners=False)
    skin = (
        places
        + flow.permute(0, 2, 3, 1)
        + sum(
            _look(places, after[:, list(eye), :2], act.lids[:, number], act.gaze)
            for number, eye in enumerate((LEFT_EYE, RIGHT_EYE))
        )
    )
    inner = list(LIPS_INNER)
    lips_before, lips_after = before[:, inner, :2], after[:, inner, :2]
    inside = _inside(places, lips_after)
    # Teeth are fixed to the skull: inside, what the portrait shows behind its lips goes along with the upper one.
    top, bottom = lips_after[:, 15], lips_after[:, 5]
    teeth = places + (lips_before[:, 15] - top)[:, None, None]
    shown = _inside(teeth, lips_before)
    unseen = inside & ~shown & (teeth[..., 1] > lips_before[:, [5, 15]].mean(dim=1)[:, None, None, 1])
    depth = (places[..., 1] - top[:, None, None, 1]) / (bottom - top)[:, None, None, 1].clamp_min(1e-3)
    return Animated(torch.where((inside & shown)[..., None], teeth, skin), unseen, depth)


def _follow(places: Places, points: Float[Tensor, "batch points 3"], moves: Float[Tensor, "batch points 2"]) -> Places:
    """How far each place moves if points move so: Shepard's interpolation ("A two-dimensional interpolation function
    for irregularly-spaced data", 1968) with the fourth power of the distance. What lies in front counts more than what
    it hides, and the picture's border stays where it is.
    """
    border = _border(places.device).expand(len(places), -1, -1)
    anchors = torch.cat([points[..., :2], border], dim=1)
    moves = torch.cat([moves, torch.zeros_like(border)], dim=1)
    nearness = torch.exp(-_HIDING * (points[..., 2] - points[..., 2].mean(dim=1, keepdim=True)))
    nearness = torch.cat([nearness, torch.ones_like(border[..., 0])], dim=1)[..., None]
    carried = torch.cat([moves * nearness, nearness], dim=2)
    followed = torch.cat([
        torch.bmm(_squared_distances(here, there).add_(_SOFTNESS**2).pow_(-2), carry)
        for here, there, carry in zip(
            *(torch.split(values, _AT_ONCE[places.device.type]) for values in (places.flatten(1, 2), anchors, carried)),
            strict=True,
        )
    ])  # fmt: skip
    followed = followed[..., :2] / followed[..., 2:]
    return followed.reshape(places.shape)


def _look(
    places: Places,
    eye: Float[Tensor, "batch 16 2"],
    closed: Float[Tensor, " batch"],
    gaze: Float[Tensor, "batch 2"],
) -> Places:
    """How far from each place lies what is to be seen there when a lid moves and an eye looks elsewhere.

    In each column of pixels the lids, which meet low, draw the skin beyond them out or together; the eyeball between
    them stays where it is. A lid that opens wider stretches the eye.
    """
    x, y = places.unbind(-1)
    outer, inner = eye[:, 0, 0], eye[:, 8, 0]
    middle, half = (outer + inner) / 2, ((inner - outer) / 2).abs().clamp_min(1e-3)
    top, bottom = eye[..., 1].aminmax(dim=1)
    room = _LID_ROOM * half
    reach = room + (bottom - top)  # a lid that opens wider rises by less than the eye is high
    near = ((x - middle[:, None, None]).abs() < half[:, None, None]) & (
        (y - ((top + bottom) / 2)[:, None, None]).abs() < ((bottom - top) / 2 + reach)[:, None, None]
    )  # elsewhere nothing moves: a few pixels in a hundred are left
    face = near.nonzero()[:, 0]
    x, y, eye, closed, gaze = x[near], y[near], eye[face], closed[face], gaze[face]
    middle, half, room = middle[face], half[face], room[face]

    along = 1 - ((x - middle) / half) ** 2
    upper = _height(x, torch.cat([eye[:, 8:], eye[:, :1]], dim=1), half)
    gap = (_height(x, eye[:, :9], half) - upper).clamp_min(0) * (3 * along).clamp(0, 1)
    lower = upper + gap
    new_upper, new_lower = upper + _UPPER * closed * gap, lower - (1 - _UPPER) * closed.clamp_min(0) * gap
    above = (new_upper - upper) * ((y - new_upper) / room + 1).clamp(0, 1)
    below = (new_lower - lower) * (1 - (y - new_lower) / room).clamp(0, 1)
    between = (y > new_upper) & (y < new_lower)
    width = 2 * half * (along.clamp_min(0) * between)
    stretched = (new_upper - upper) * (1 - (y - new_upper) / (new_lower - new_upper).clamp_min(1e-4))
    down = torch.where(between, torch.where(closed < 0, stretched, gaze[:, 1] * width), above)
    down = torch.where(y >= new_lower, below, down)
    looks = torch.zeros_like(places)
    looks[near] = -torch.stack([gaze[:, 0] * width, down], dim=-1)
    return looks


def _height(
    x: Float[Tensor, " n"], curve: Float[Tensor, "n points 2"], half: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """How high a curve lies at `x`, between its points by their distance."""
    away = (x[:, None] - curve[..., 0]) / half[:, None]
    weights = (away.square() + 0.01).pow(-2)
    return (weights * curve[..., 1]).sum(dim=-1) / weights.sum(dim=-1)


def _squared_distances(
    places: Float[Tensor, "batch n 2"], anchors: Float[Tensor, "batch k 2"]
) -> Float[Tensor, "batch n k"]:
    """Of each place from each anchor: |p|^2 - 2 pa + |a|^2, as one product of matrices."""
    ours = torch.cat([places, torch.ones_like(places[..., :1]), places.square().sum(-1, keepdim=True)], dim=2)
    theirs = torch.cat([-2 * anchors, anchors.square().sum(-1, keepdim=True), torch.ones_like(anchors[..., :1])], dim=2)
    return torch.bmm(ours, theirs.transpose(1, 2)).clamp_min_(0)


def _border(device: torch.device) -> Float[Tensor, "32 2"]:
    along = torch.linspace(-1.1, 1.1, 9, device=device)[:-1]
    edge = torch.full_like(along, 1.1)
    sides = ((along, -edge), (edge, along), (-along, edge), (-edge, -along))
    return torch.cat([torch.stack(side, dim=1) for side in sides])


def _inside(places: Places, outline: Float[Tensor, "batch corners 2"]) -> Bool[Tensor, "batch height width"]:
    """Which places lie inside a closed outline: a ray to the right crosses it an odd number of times."""
    low, high = (corner[:, None, None] for corner in outline.aminmax(dim=1))
    near = ((places >= low) & (places <= high)).all(dim=-1)
    (x, y), (ax, ay) = (values.movedim(-1, 0) for values in (places[near], outline[near.nonzero()[:, 0]]))
    crossings = torch.zeros_like(x, dtype=torch.bool)
    for a in range(outline.shape[1]):
        from_x, from_y, to_x, to_y = (v[:, i] for i in (a - 1, a) for v in (ax, ay))
        slope = (to_x - from_x) / torch.where(to_y == from_y, torch.ones_like(to_y), to_y - from_y)
        crossings ^= ((from_y > y) != (to_y > y)) & (x < from_x + (y - from_y) * slope)
    return torch.zeros_like(near).masked_scatter(near, crossings)


def paint_mouths(
    pictures: Float[Tensor, "batch 3 height width"], animated: Animated, drawn: Float[Tensor, "batch 5"]
) -> Float[Tensor, "batch 3 height width"]:
    """The pictures with what nobody has photographed painted inside opened mouths: teeth or none, darkness, tongue.

    `drawn` says which, by numbers in 0..1.
    """
    drawn = drawn[..., None, None]
    light = _SHADES * (0.5 + drawn[:, 0]) * (0.5 + pictures.mean(dim=(1, 2, 3))[:, None, None])
    depth = animated.depth.clamp(0, 1)
    tongue = ((depth - 0.45) / 0.4).clamp(0, 1) * (0.5 + 1.5 * drawn[:, 1])
    teeth = (depth < 0.08 + 0.3 * drawn[:, 2]).float() * (drawn[:, 3] < 0.6)
    red, other = light * (1.1 + 0.9 * tongue), light * (0.75 + 0.45 * tongue)
    inside = torch.stack([red, other, other], dim=1)
    white = (0.55 + 0.4 * drawn[:, 4])[:, None] * torch.tensor([1.0, 0.95, 0.87], device=drawn.device)[:, None, None]
    inside = inside + teeth[:, None] * (white - inside)
    return torch.where(animated.mouth[:, None], inside, pictures)
