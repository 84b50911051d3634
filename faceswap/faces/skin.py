"""A person's skin: what is too fine for a decoder that has learnt for minutes, as a texture to be laid on its faces.

Pores, stubble and fine wrinkles stay where they are on a face while everything else moves. A network that is punished
for every pixel draws their mean, which is nothing; a photograph has them. So the best pictures of a faceset are
unwrapped onto a cylinder round the head, and only what is finer than `_FINE` is kept, as a factor of the brightness:
colour, light and shape stay the decoder's. Detail as a quotient of images: Liu, Shan and Zhang, "Expressive expression
mapping with ratio images" (2001).

Positions on the texture and in crops are shares of its width and height, 0..1, from the upper left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from faceswap.faces.curate import column
from faceswap.faces.landmarks import mean_mesh, rigid
from faceswap.faces.masks import eye_and_brow_mask, face_mask, feature_mask, nostril_mask
from faceswap.faces.quality import Measures
from faceswap.model.arrays import Arrays, read_arrays, write_arrays
from faceswap.types import MeshPoints, Picture

FIELD = 32
"""Side of the grid on which the way from a crop to the texture is written down; it is smooth in between."""

Plane = Float[np.ndarray, "height width"]
Field = Float[np.ndarray, "values grid grid"]
Spots = Float[np.ndarray, "points 2"]
Values = Float[np.ndarray, "points values"]
Shares = Float[np.ndarray, " points"]

# The cylinder stands upright, in units of the mean face: its axis goes through the head, behind the mesh's origin.
_AXIS = 1.0
_AROUND = math.radians(210)
_TOP, _HEIGHT = -1.25, 3.4

_FINE = 0.012  # of the crop's side: standard deviation of the blur whose result is the decoder's to draw
_EDGE = 6.0  # times the strength of skin's detail: more is the edge of something else
_NOTHING = 1e-4  # of such strength: rounding
_SURELY_SKIN = 0.9  # of 1
_OFFSET = 2.0  # of 255 levels, so that black has a logarithm
_ROOM = 1.25  # rows of the texture for each of the crop's: nothing is lost on the way there

_TURNS = (-50.0, -25.0, 25.0, 50.0)  # degrees of yaw from the main view at which further ones are looked for
_REACH = 12.0  # degrees that a view may be away from there
_PREFERENCE = 2.0  # of the main view, so that most of the skin is of one picture
_CHOICE = 6  # power of what speaks for a view: the best one is nearly alone

_USUAL_TURN = 30.0  # degrees to which the base weights know heads
_FURTHER, _FADING = 10.0, 10.0  # degrees beyond what was seen that are drawn well; and in which a swap fades out then

_KNOTS, _BUMP = 7, 0.17  # in each direction, and their width
_RIDGE = 1e-2
_PARTS_OF_PRODUCT = 6  # each of less than 2^18 multiplications
_HIDDEN = 0.02  # weight of points on the side that is turned away

_PARTS = ("detail", "known", "turns")  # of a `Skin`, as they are called on disk
_LEAST_SIDE = 16  # pixels


@dataclass(frozen=True, kw_only=True)
class Skin:
    """An unwrapped texture, float32."""

    detail: Plane
    """Logarithm of the brightness over that of a blurred picture: 0 is smooth."""
    known: Plane
    """0..1: where skin was seen. Eyes, brows, nostrils, mouth and what was hidden are not."""
    turns: tuple[float, float]
    """Degrees of yaw between which the person's head is seen: all but the hundredth part to either side."""

    @property
    def side(self) -> float:
        """Pixels of a crop that is as fine."""
        height: int = self.detail.shape[0]
        return height / _ROOM


@dataclass(frozen=True, kw_only=True)
class View:
    """A picture of which skin is taken."""

    crop: Picture
    points: MeshPoints
    """In the crop's pixels."""
    visible: Plane
    """Where nothing lies in front of the face, 0..1, of any size."""


def familiarity(skin: Skin, yaw: float) -> float:
    """How far a decoder can be expected to draw a head that is turned by `yaw` degrees, 0..1.

    Heads that are turned a little further than the person's own footage shows, it draws as well; of profiles it has
    never seen it makes a smear.
    """
    low, high = min(skin.turns[0], -_USUAL_TURN) - _FURTHER, max(skin.turns[1], _USUAL_TURN) + _FURTHER
    beyond = max(low - yaw, yaw - high, 0.0)
    return max(0.0, 1 - beyond / _FADING)


def seen_turns(measures: Sequence[Measures]) -> tuple[float, float]:
    """For `Skin.turns`."""
    low, high = np.percentile(column(measures, "yaw"), (1, 99)).tolist()
    return low, high


def best_views(measures: Sequence[Measures]) -> list[int]:
    """Which faces to take skin from, the main one first: large, in focus, with a closed mouth, looking as the person
    mostly does; then others, if there are any that are turned further."""
    names = ("size", "sharpness", "mouth", "yaw", "pitch")
    size, sharpness, mouth, yaw, pitch = (column(measures, name) for name in names)
    fineness = size * sharpness  # how sharp a face is was measured at one size for all
    merit = fineness / max(float(np.median(fineness)), 1e-6) - 5 * mouth

    straight = np.abs(yaw - np.median(yaw)) + np.abs(pitch - np.median(pitch))
    main = int(np.argmax(merit - straight / 15))

    views = [main]
    for turn in _TURNS:
        away = np.abs(yaw - yaw[main] - turn)
        if away.min() <= _REACH:
            views.append(int(np.argmax(np.where(away <= _REACH, merit - np.abs(pitch - pitch[main]) / 15, -np.inf))))
    return views


def unwrapped(views: Sequence[View], turns: tuple[float, float]) -> Skin:
    """The skin that is seen in the views, the first of which is the main one; of their crops' own resolution."""
    height = round(_ROOM * max(view.crop.shape[0] for view in views))
    width = round(height * 1.5)

    details, weights = zip(*(_unwrapped(view, height, width) for view in views), strict=True)
    merits = np.stack(weights)
    merits[0] *= _PREFERENCE
    shares = merits**_CHOICE
    shares /= np.maximum(shares.sum(axis=0), 1e-9)

    # Of the mean of two textures that have nothing to do with each other half of the strength would be left.
    strength = np.sqrt((shares**2).sum(axis=0))
    detail = (shares * np.stack(details)).sum(axis=0) / np.maximum(strength, 1e-6)
    known = np.max(weights, axis=0)
    return Skin(detail=detail.astype(np.float32), known=known.astype(np.float32), turns=turns)


def skin_field(points: MeshPoints, side: int) -> Field:
    """Where each place of a crop of `side` px lies on the texture, for a face with these `points` (in its pixels): x, y
    and how far the skin there is turned towards the camera (1 fully, 0 seen from the side, below 0 hidden).

    Written down at the middles of a grid of `FIELD` x `FIELD` cells. Float32.
    """
    facing = _facing(points)
    values = np.column_stack([_on_cylinder(), facing])
    field = _fitted(_in_crop(points, side), values, np.maximum(facing, _HIDDEN), FIELD)
    return field.astype(np.float32)


def _unwrapped(view: View, height: int, width: int) -> tuple[Plane, Plane]:
    """One view's detail on the texture, and how much there is to be said for it, 0..1."""
    side = view.crop.shape[0]
    detail, skin = _detail(view)

    facing = _facing(view.points)
    values = np.column_stack([_in_crop(view.points, side), facing])
    field = _fitted(_on_cylinder(), values, np.maximum(facing, _HIDDEN), FIELD).astype(np.float32)
    x, y, turned = (cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in field)
    x, y = x * side - 0.5, y * side - 0.5

    border = cv2.BORDER_CONSTANT
    lain = cv2.remap(detail, x, y, cv2.INTER_CUBIC, borderMode=border)
    seen = cv2.remap(skin, x, y, cv2.INTER_LINEAR, borderMode=border)
    return lain, np.clip(seen, 0, 1) * np.clip(turned, 0, 1) * _on_head(height, width)


def _detail(view: View) -> tuple[Plane, Plane]:
    """What is finer than `_FINE` in a view, and where it is skin."""
    side = view.crop.shape[0]
    visible = cv2.resize(view.visible.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    face, *others = (
        draw(view.points, side).astype(np.float32) / 255
        for draw in (face_mask, feature_mask, eye_and_brow_mask, nostril_mask)
    )
    skin = face * (1 - np.maximum.reduce(others)) * visible

    # How strong skin's detail mostly is: an edge that is stronger (a brow, the hairline, a nostril) stays one in the
    # blurred picture, so that no rim comes along with it (Durand and Dorsey, 2002).
    brightness = np.log(cv2.cvtColor(view.crop, cv2.COLOR_RGB2GRAY).astype(np.float32) + _OFFSET)
    rough = np.abs(brightness - cv2.GaussianBlur(brightness, (0, 0), _FINE * side))[skin > _SURELY_SKIN]
    strength = 1.4826 * float(np.median(rough)) if rough.size else 0.0
    if strength < _NOTHING:
        return np.zeros_like(skin), skin

    base = cv2.bilateralFilter(brightness, d=-1, sigmaColor=_EDGE * strength, sigmaSpace=_FINE * side)
    return brightness - base, skin


@cache
def _on_cylinder() -> Spots:
    """Where the mesh's points lie on the texture."""
    x, y, z = mean_mesh().T
    return np.column_stack([np.arctan2(x, _AXIS - z) / _AROUND + 0.5, (y - _TOP) / _HEIGHT])


@cache
def _on_head(height: int, width: int) -> Plane:
    """1 where the texture lies inside the mesh's outline, 0 beside it, where nothing is known of the way there."""
    corners = np.round(_on_cylinder() * (width, height) - 0.5).astype(np.int32)
    inside = np.zeros((height, width), np.uint8)
    return cv2.fillConvexPoly(inside, cv2.convexHull(corners), 1).astype(np.float32)


def _facing(points: MeshPoints) -> Shares:
    """How far the skin at each point is turned towards the camera, as if the head were the cylinder."""
    x, _, z = mean_mesh().T
    outward = np.column_stack([x, np.zeros_like(x), z - _AXIS])
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    facing: Shares = -(outward @ rigid(points).turn.T)[:, 2]  # the camera lies where depth is least
    return facing


def _in_crop(points: MeshPoints, side: int) -> Spots:
    return (points[:, :2].astype(np.float64) + 0.5) / side


def _fitted(spots: Spots, values: Values, weights: Shares, grid: int) -> Field:
    """Values known at scattered spots, at the middles of a grid's cells: an affine map and smooth bumps upon it, by
    weighted least squares with a little punishment of the bumps (a regression spline)."""
    basis = _basis(spots)
    weighted = basis * weights[:, None]
    ridge = _RIDGE * np.diag([0.0] * 3 + [1.0] * _KNOTS**2)

    # In parts: OpenBLAS shares a larger product out among threads, which on a busy machine wait for each other for
    # twenty times as long as it takes.
    parts = zip(*(np.array_split(some, _PARTS_OF_PRODUCT) for some in (weighted, basis)), strict=True)
    products = sum((one.T @ other for one, other in parts), start=ridge)
    coefficients = np.linalg.solve(products, weighted.T @ values)
    return (_grid_basis(grid) @ coefficients).T.reshape(-1, grid, grid)


def _basis(spots: Spots) -> Float[np.ndarray, "points terms"]:
    knots = _lattice(np.linspace(0, 1, _KNOTS))
    squares = ((spots[:, None] - knots) ** 2).sum(axis=2)
    return np.column_stack([np.ones(len(spots)), spots, np.exp(-squares / (2 * _BUMP**2))])


@cache
def _grid_basis(grid: int) -> Float[np.ndarray, "cells terms"]:
    return _basis(_lattice((np.arange(grid) + 0.5) / grid))


def _lattice(ticks: Float[np.ndarray, " ticks"]) -> Spots:
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def skin_file(model: Path) -> Path:
    """Where a model keeps the skins of its persons."""
    return model / "skin.safetensors"


def write_skins(model: Path, skins: Mapping[str, Skin]) -> None:
    """Keep each person's skin in the folder `model`. Raises OutputError if that is not possible."""
    parts = {
        f"{name}.{person}": np.asarray(getattr(skin, name), np.float16)
        for person, skin in skins.items()
        for name in _PARTS
    }
    write_arrays(skin_file(model), parts)


def read_skins(model: Path) -> dict[str, Skin]:
    """By person; empty if the model was made before skins were kept. Raises ModelError if the file is damaged."""
    return read_arrays(skin_file(model), _by_person)


def _by_person(parts: Arrays) -> dict[str, Skin]:
    persons = sorted({name.partition(".")[2] for name in parts})
    return {person: _checked(*(parts[f"{name}.{person}"] for name in _PARTS)) for person in persons}


def _checked(detail: np.ndarray, known: np.ndarray, turns: np.ndarray) -> Skin:
    """The skin. Raises ValueError for what is none."""
    sound = (
        detail.ndim == 2 and detail.shape == known.shape and min(detail.shape) >= _LEAST_SIDE and turns.shape == (2,)
    )
    if not sound or not all(np.isfinite(part).all() for part in (detail, known, turns)):
        raise ValueError("it holds numbers that are no skin")
    low, high = turns.tolist()
    return Skin(detail=detail.astype(np.float32), known=known.astype(np.float32), turns=(low, high))
