"""Fitting swapped faces at the size of the crop, all faces of a batch at once: colours, gaze, seam and mask, and the
box of the frame that each is to be pasted into (`blend.py`)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from faceswap.config import SwapConfig
from faceswap.geometry import Similarity
from faceswap.swapping.color import Palette, match, with_own_eyes
from faceswap.swapping.eyes import looking
from faceswap.swapping.filters import filtered, gaussian
from faceswap.swapping.infer import Swap
from faceswap.swapping.seam import closed, pyramid_blended
from faceswap.swapping.texture import SkinOnFace

FrameBox = tuple[int, int, int, int]
"""Left, top, right, bottom (exclusive) in pixels, inside the frame."""
Mask = Float[Tensor, "_ _"]
Masks = Float[Tensor, "batch _ _"]


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A face ready to be pasted."""

    picture: Float[Tensor, "3 size size"]
    mask: Float[Tensor, "size size"]
    to_crop: Similarity
    box: FrameBox
    skin: SkinOnFace | None
    """Its field is as large as `picture`, of another resolution."""
    skin_amount: float
    """How far it is laid on."""
    sharpen: float
    """How far it is brought to the sharpness of what it covers."""
    noise: float
    opacity: float


def prepare(swaps: Sequence[Swap], config: SwapConfig, width: int, height: int) -> list[Patch | None]:
    """Swaps with the colours, the sharpness and the mask that they get in a `width` x `height` frame.

    None for those whose mask covers nothing of it.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for number, swap in enumerate(swaps):
        groups[swap.picture.shape[-1]].append(number)

    ready: dict[int, Patch | None] = {}
    for numbers in groups.values():
        patches = _fitted([swaps[number] for number in numbers], config, width, height)
        ready |= zip(numbers, patches, strict=True)
    return [ready[number] for number in range(len(swaps))]


def _fitted(swaps: Sequence[Swap], config: SwapConfig, width: int, height: int) -> list[Patch | None]:
    """The same for swaps whose pictures are of one size."""
    pictures = torch.stack([looking(swap.picture, swap.gaze, config.gaze) for swap in swaps])
    coarse, originals, masks, eyes = (
        torch.stack([getattr(swap, name) for swap in swaps]) for name in ("coarse", "original", "mask", "eyes")
    )
    if config.scale != 1:
        pictures, coarse, eyes = (_resized(some, config.scale) for some in (pictures, coarse, eyes[:, None]))
        eyes = eyes[:, 0].clamp(0, 1)
    masks = shaped(masks, config.erode, config.feather)

    # Colours and seam at the small size; the large picture is moved as the small one is.
    fitted = match(coarse, _together([swap.colours for swap in swaps]), config.colour)
    fitted = with_own_eyes(coarse, fitted, eyes)
    if join := {"band": closed, "pyramid": pyramid_blended}.get(config.blending):
        fitted = join(fitted, originals, functional.adaptive_avg_pool2d(masks, coarse.shape[-1]))
    move = fitted - coarse
    if pictures.shape != coarse.shape:
        move = functional.interpolate(move, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
    pictures = (pictures + move).clamp(0, 1)

    # Boxes of whole faces, so that what passes in front of one does not move them.
    boxes = [face_box(mask, swap.to_crop, width, height) for mask, swap in zip(masks, swaps, strict=True)]

    masks = _uncovered(masks, swaps, config.occlusion)
    return [
        None
        if box is None
        else Patch(
            picture=picture,
            mask=mask,
            to_crop=swap.to_crop,
            box=box,
            skin=_scaled(swap.skin, config.scale) if swap.skin and config.skin > 0 else None,
            skin_amount=config.skin,
            sharpen=config.sharpen,
            noise=config.grain * swap.noise,
            opacity=config.opacity * swap.opacity,
        )
        for picture, mask, swap, box in zip(pictures, masks, swaps, boxes, strict=True)
    ]


def _uncovered(masks: Masks, swaps: Sequence[Swap], occlusion: float) -> Masks:
    """Masks without what lies in front of the faces, as far as `occlusion` says."""
    visible = [swap.visible for swap in swaps if swap.visible is not None]
    if occlusion == 0 or len(visible) < len(swaps):
        return masks
    seen = functional.interpolate(
        torch.stack(visible)[:, None], size=masks.shape[-2:], mode="bilinear", align_corners=False
    )[:, 0]
    return masks * (1 - occlusion * (1 - seen))


def shaped(masks: Masks, erode: float, feather: float) -> Masks:
    """Masks whose edges are drawn in by `erode` and softened inwards by `feather` of the crop's side."""
    size = masks.shape[-1]
    if erode > 0:
        radius = erode * size
        less, more = _eroded(masks, math.floor(radius)), _eroded(masks, math.ceil(radius))
        masks = less + (radius % 1) * (more - less)

    if feather > 0:
        # Of a blurred edge only the inner half is used: the mask ends where the face does.
        blurred = filtered(masks[:, None], gaussian(feather * size))[:, 0]
        masks = torch.minimum(masks, (2 * blurred - 1).clamp_min(0))

    masks = masks.clone()  # what the decoder gave is not to be written to
    masks[:, [0, -1], :] = 0  # pixels at the crop's border stand for all that lies beyond it
    masks[:, :, [0, -1]] = 0
    return masks


def face_box(mask: Mask, to_crop: Similarity, width: int, height: int) -> FrameBox | None:
    """What the mask covers in a `width` x `height` frame; None if nothing."""
    seen = (mask > 0).cpu().numpy()
    columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    if not len(columns):
        return None
    # Interpolation reaches a little further.
    x0, y0, x1, y1 = columns[0] - 2, rows[0] - 2, columns[-1] + 2, rows[-1] + 2
    at = to_crop.inverse().apply(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64))
    left, top = np.maximum(np.floor(at.min(axis=0)), 0).astype(int).tolist()
    right, bottom = np.minimum(np.ceil(at.max(axis=0)) + 1, (width, height)).astype(int).tolist()
    return None if left >= right or top >= bottom else (left, top, right, bottom)


def _together(palettes: Sequence[Palette]) -> Palette:
    """Palettes of different lengths in one batch; what is filled up weighs nothing."""
    ours, theirs, weights = (
        pad_sequence([getattr(one, name) for one in palettes], batch_first=True)
        for name in ("ours", "theirs", "weights")
    )
    return Palette(ours, theirs, weights)


def _resized(pictures: Float[Tensor, "batch channels h w"], scale: float) -> Float[Tensor, "batch channels h w"]:
    """Enlarged by `scale` about their middle, and cut to the size they had."""
    matrix = pictures.new_tensor([[1 / scale, 0, 0], [0, 1 / scale, 0]]).expand(len(pictures), 2, 3)
    where = functional.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, where, mode="bicubic", padding_mode="border", align_corners=False)


def _scaled(skin: SkinOnFace, scale: float) -> SkinOnFace:
    """The skin of a face that is shown `scale` times as large."""
    return skin if scale == 1 else replace(skin, field=_resized(skin.field[None], scale)[0])


def _eroded(masks: Masks, radius: int) -> Masks:
    """Each pixel the least of those at most `radius` away in both directions."""
    return -functional.max_pool2d(-masks[:, None], 2 * radius + 1, stride=1, padding=radius)[:, 0]
