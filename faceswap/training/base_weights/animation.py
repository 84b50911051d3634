"""Portraits that speak, blink and turn their heads: from one still picture, a face in many expressions and poses.

Face reenactment by warping, as puppeteers of photographs do it (Averbuch-Elor et al., "Bringing portraits to life",
2017): the points of the face mesh move (`acting.py`), and the picture follows them. Lids close over the eyes, irises
move between them; behind opened lips a mouth is painted. What a base model learns faces from has to show expressions,
and official portraits show but one.

All of it works on batches on the device. Places are in the [-1, 1] coordinates of torch's grid_sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from faceswap.faces.eye_motion import Places, eye_flow
from faceswap.faces.landmarks import LEFT_EYE, LIPS_INNER, RIGHT_EYE
from faceswap.training.base_weights.acting import Motion, Portraits, apply_motion

_SOFTNESS = 0.02  # below this distance the picture follows no single point of the mesh
_FOLLOWED = 32  # places along a side at which it is worked out how the skin follows
_AT_ONCE = {"cpu": 4, "cuda": 1024}  # faces: a processor's cache is small
_HIDING = 8.0  # by how many powers of e a point counts more than one that lies half a picture behind it
_SHADES = 0.18  # mean brightness of the inside of a mouth


@dataclass(frozen=True)
class Animated:
    """How to paint animated faces."""

    source: Places
    """Where in the portrait each pixel is to be taken from."""
    mouth: Bool[Tensor, "batch height width"]
    """The pixels inside an opened mouth that the portrait does not show."""
    depth: Float[Tensor, "batch height width"]
    """How far down in the mouth a pixel lies: 0 at the upper lip's middle, 1 at the lower one's."""


def animate(faces: Portraits, motion: Motion, places: Places) -> Animated:
    """What `faces` show that move like that, at `places` (pixel by pixel of an output picture)."""
    before, after = faces.points, apply_motion(faces, motion)

    # How the skin follows is costly to work out, and smooth: some pixels will do.
    planes = places.permute(0, 3, 1, 2)
    coarse = functional.adaptive_avg_pool2d(planes, _FOLLOWED).permute(0, 2, 3, 1)
    flow = _follow(coarse, after, (before - after)[..., :2]).permute(0, 3, 1, 2)
    flow = functional.interpolate(flow, planes.shape[2:], mode="bilinear", align_corners=False)

    skin = (
        places
        + flow.permute(0, 2, 3, 1)
        + sum(
            eye_flow(places, after[:, list(eye), :2], motion.lids[:, number], motion.gaze)
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
    # The border of the picture stays where it is.
    border = _border(places.device).expand(len(places), -1, -1)
    anchors = torch.cat([points[..., :2], border], dim=1)
    moves = torch.cat([moves, torch.zeros_like(border)], dim=1)

    # What lies in front moves what lies behind it little.
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
