"""Pasting fitted faces (`fitting.py`) into their frames, each inside its own box, where fine detail, skin and noise are
brought to the video's. Nothing here is done to a whole frame."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, cached_property

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from faceswap.geometry import Similarity
from faceswap.streams import batched
from faceswap.swapping.detail import fine_detail, finer, grain, sharpened, sharpening
from faceswap.swapping.fitting import FrameBox, Patch
from faceswap.swapping.texture import laid_out, texture_amounts, texture_of
from faceswap.types import Picture

FrameMask = UInt8[np.ndarray, "_ _"]
Pictures = Float[Tensor, "batch 3 _ _"]
Alphas = Float[Tensor, "batch 1 _ _"]

_STEP = 16  # pixels to which boxes are rounded up, so that those of neighbouring frames are of one size
_LARGEST_ENLARGEMENT = 4
_SOLID = 0.9  # of the mask: only there is the frame's edge of a Poisson patch, which must not lie on hair
_AT_ONCE = 1 << 22  # pixels of the boxes that are pasted together: some ten pictures of floats are made of them
_STRIP = 1 << 20  # pixels of larger boxes that are pasted together
_LEAST_STRIP = 64  # rows
_REACH = 6  # rows up to which the fine detail of a sharpened face looks, twice three
_ROOM = 4  # pixels round a patch for OpenCV's Poisson solver


def paste(
    images: Sequence[Picture],
    patches: Sequence[Sequence[Patch]],
    seeds: Sequence[int],
    blending: str,
    masks: Sequence[FrameMask] | None = None,
) -> None:
    """Put each image's patches into it, the later over the earlier ones; `seeds` give each image its grain.

    The images, all of one size, are written to; so are the `masks`, if given: there each pixel becomes what the patches
    cover of it, 0..255.
    """
    for group in _groups(patches):
        work = _Group(group, images, seeds, blending)
        work.measure()
        for strip in work.strips():
            covered = strip.put()
            if masks is None:
                continue

            cover = (covered * 255 + 0.5).to(torch.uint8).cpu().numpy()
            for (at, _), (x0, y0, x1, y1), plane in zip(group, strip.own_boxes, cover, strict=True):
                np.maximum(masks[at][y0:y1, x0:x1], plane, out=masks[at][y0:y1, x0:x1])
        work.release()


class _Group:
    """Patches that are pasted at once, one into each of some images: in strips where they are large, so that there are
    never pictures of floats of a whole one, and as a whole otherwise."""

    def __init__(
        self,
        group: Sequence[tuple[int, Patch]],
        images: Sequence[Picture],
        seeds: Sequence[int],
        blending: str,
    ) -> None:
        self.patches = [patch for _, patch in group]
        self.images = [images[at] for at, _ in group]
        self.boxes = [_enlarged(patch.box, image) for patch, image in zip(self.patches, self.images, strict=True)]
        self.seeds = [seeds[at] for at, _ in group]
        self.blending = blending
        self.has_skin = self.patches[0].skin is not None

        self.shape = _shape(self.boxes)
        height, width = self.shape
        is_large = height * width > _AT_ONCE and blending != "poisson"  # which OpenCV does as a whole
        high = max(_LEAST_STRIP, _STRIP // width) if is_large else height
        self._rows = [slice(start, min(start + high, height)) for start in range(0, height, high)]
        # What is alone is kept: of several, each is made again whenever it is asked for.
        self._only = _Strip(self, self._rows[0]) if len(self._rows) == 1 else None

    def strips(self) -> Iterator[_Strip]:
        """From top to bottom."""
        if self._only:
            yield self._only
            return
        for rows in self._rows:
            yield _Strip(self, rows)

    def measure(self) -> None:
        """Find out how much sharper the faces have to be, and how much of their skin they get."""
        sharpen = [patch.sharpen for patch in self.patches]
        self.sharpening = sharpening((strip.for_sharpness() for strip in self.strips()), sharpen)
        if self.has_skin:
            amounts = texture_amounts(strip.for_texture() for strip in self.strips())
            self.texture_amounts = amounts * amounts.new_tensor([patch.skin_amount for patch in self.patches])

    def release(self) -> None:
        """Let go of what was kept: group and strip know each other, and would wait for the garbage collector."""
        self._only = None


class _Strip:
    """Some rows of the boxes of a group, with those above and below that filters look at."""

    def __init__(self, group: _Group, rows: slice) -> None:
        self._group, self._rows = group, rows

        seen = slice(max(0, rows.start - _REACH), min(group.shape[0], rows.stop + _REACH))
        self._boxes = [(left, top + seen.start, right, top + seen.stop) for left, top, right, _ in group.boxes]
        self.own_boxes = [(left, top + rows.start, right, top + rows.stop) for left, top, right, _ in group.boxes]
        """What it covers of each image."""
        self._own = slice(rows.start - seen.start, rows.stop - seen.start)

    def for_sharpness(self) -> tuple[Alphas, Alphas, Alphas]:
        """What `sharpening` asks for. Eyes, brows and mouth say how much sharper a face with its own skin has to be: a
        beard in the video would mislead."""
        where = self._alphas * (1 - self._skin[1]) if self._group.has_skin else self._alphas
        return self._cut(self._fine), self._cut(self._fine_below), self._cut(where)

    def for_texture(self) -> tuple[Alphas, Alphas, Alphas, Alphas]:
        """What `texture_amounts` asks for."""
        planes = fine_detail(self._sharpened), self._fine_below, finer(self._texture), self._alphas * self._skin[1]
        fine, below, texture, weight = (self._cut(plane) for plane in planes)
        return fine, below, texture, weight

    def put(self) -> Float[Tensor, "faces rows width"]:
        """Lay the faces over the images, and say how much of them they cover (0..1)."""
        group = self._group
        faces = self._sharpened
        if group.has_skin:
            faces = faces + group.texture_amounts[:, None, None, None] * self._texture

        opacities = self._alphas.new_tensor([patch.opacity for patch in group.patches])[:, None, None, None]
        faces, alphas = self._cut(faces), self._cut(self._alphas) * opacities

        noise = grain([patch.noise for patch in group.patches], group.seeds, group.shape, faces.device, self._rows)
        below = self._cut(self._below)
        made = below.lerp_((faces + noise).clamp_(0, 255), alphas).add_(0.5).to(torch.uint8).cpu().numpy()
        for image, (left, top, right, bottom), planes in zip(group.images, self.own_boxes, made, strict=True):
            cv2.merge(list(planes), image[top:bottom, left:right])
        return alphas[:, 0]

    def _cut(self, planes: Tensor) -> Tensor:
        """Its own rows."""
        return planes[:, :, self._own]

    @cached_property
    def _below(self) -> Pictures:
        """The images, 0..255."""
        under = [image[y0:y1, x0:x1] for image, (x0, y0, x1, y1) in zip(self._group.images, self._boxes, strict=True)]
        below = torch.from_numpy(np.stack(under)).to(self._group.patches[0].picture.device).permute(0, 3, 1, 2)
        return below.to(torch.float32, memory_format=torch.contiguous_format)

    @cached_property
    def _warped(self) -> tuple[Pictures, Alphas]:
        faces, alphas = _warped(self._group.patches, self._boxes)
        return (_poisson(faces, self._below, alphas), alphas) if self._group.blending == "poisson" else (faces, alphas)

    @property
    def _alphas(self) -> Alphas:
        return self._warped[1]

    @cached_property
    def _skin(self) -> tuple[Alphas, Alphas]:
        return _skin_in_boxes(self._group.patches, self._boxes)

    @cached_property
    def _fine_below(self) -> Alphas:
        return fine_detail(self._below)

    @cached_property
    def _fine(self) -> Alphas:
        return fine_detail(self._warped[0])

    @cached_property
    def _sharpened(self) -> Pictures:
        return sharpened(self._warped[0], self._fine, self._group.sharpening)

    @cached_property
    def _texture(self) -> Alphas:
        return texture_of(self._sharpened, *self._skin)


def _groups(patches: Sequence[Sequence[Patch]]) -> list[list[tuple[int, Patch]]]:
    """Patches that can be pasted at once, with the numbers of their images: never two into one image, and of large ones
    a few."""
    groups: dict[tuple[int, ...], list[tuple[int, Patch]]] = defaultdict(list)
    for at, here in enumerate(patches):
        for turn, patch in enumerate(here):
            left, top, right, bottom = patch.box
            size = -(-(right - left) // _STEP), -(-(bottom - top) // _STEP)
            kind = _enlargement(patch.to_crop), patch.picture.shape[-1], patch.skin is None
            groups[(turn, *size, *kind)].append((at, patch))

    together: list[list[tuple[int, Patch]]] = []
    for key in sorted(groups):  # by turn: the order of an image's own patches
        pixels = key[1] * key[2] * _STEP**2
        together += batched(groups[key], max(1, _AT_ONCE // pixels))
    return together


def _enlarged(box: FrameBox, image: Picture) -> FrameBox:
    """The box with its sides rounded up to `_STEP`, as far as the image goes."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    wide = min(width, -(-(right - left) // _STEP) * _STEP)
    high = min(height, -(-(bottom - top) // _STEP) * _STEP)
    left, top = min(left, width - wide), min(top, height - high)
    return left, top, left + wide, top + high


def _enlargement(to_crop: Similarity) -> int:
    """By how much a crop is enlarged before it is sampled; below zero: how often it is halved."""
    if to_crop.scale >= 2:
        return -math.floor(math.log2(to_crop.scale))
    return min(_LARGEST_ENLARGEMENT, math.ceil(0.5 / to_crop.scale))


def _warped(patches: Sequence[Patch], boxes: Sequence[FrameBox]) -> tuple[Pictures, Alphas]:
    """Pictures (0..255) and masks (0..1) of the patches, as they lie in boxes of one size."""
    both = torch.stack([torch.cat([255 * patch.picture, patch.mask[None]]) for patch in patches])

    size, zoom = both.shape[-1], _enlargement(patches[0].to_crop)
    moves, shape = _moves(patches, boxes), _shape(boxes)
    if zoom > 1:
        # Most of the way smoothly, both directions one after the other: then linear sampling is enough, and the whole
        # takes a third of the time of cubic sampling.
        moves = [move.then(Similarity.resize(zoom)) for move in moves]
        left, top, side = _window(moves, shape, zoom * size)
        rows, columns = slice(top, top + side), slice(left, left + side)
        cubic, even = (_enlarging(size, zoom, mode).to(both) for mode in ("bicubic", "bilinear"))
        both = torch.cat(
            [cubic[rows] @ both[:, :3] @ cubic[columns].T, even[rows] @ both[:, 3:] @ even[columns].T], dim=1
        )
        moves = [move.then(Similarity(1.0, 0.0, -float(left), -float(top))) for move in moves]

    for _ in range(-zoom):
        both = functional.avg_pool2d(both, 2)
        moves = [move.then(Similarity.resize(0.5)) for move in moves]

    # A picture that is enlarged a little is not to be blurred.
    smooth = zoom == 1 and patches[0].to_crop.scale < 1
    both = _sample(both, moves, shape, "bicubic" if smooth else "bilinear")
    return both[:, :3], both[:, 3:].clamp(0, 1)


def _window(moves: Sequence[Similarity], shape: tuple[int, int], size: int) -> tuple[int, int, int]:
    """Left, top and side of the square of pictures of `size` px that is seen where they are sampled."""
    height, width = shape
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    at = np.concatenate([move.apply(corners) for move in moves])
    first = np.clip(np.floor(at.min(axis=0)).astype(int) - 1, 0, size - 1)
    last = np.clip(np.ceil(at.max(axis=0)).astype(int) + 1, 0, size - 1)
    side = int((last - first).max()) + 1
    left, top = np.minimum(first, size - side).tolist()
    return left, top, side


def _skin_in_boxes(patches: Sequence[Patch], boxes: Sequence[FrameBox]) -> tuple[Alphas, Alphas]:
    """The detail of the patches' own skin, which all of them have, and how far it is known, as it lies in boxes of one
    size."""
    skins = [patch.skin for patch in patches if patch.skin is not None]

    # The fields are smooth, but OpenCV samples in steps of a 32nd pixel: they are enlarged first.
    side = patches[0].picture.shape[-1]
    fields = torch.stack([skin.field for skin in skins])
    fields = functional.interpolate(fields, size=side, mode="bilinear", align_corners=False)
    fields = _sample(fields, _moves(patches, boxes), _shape(boxes), "bilinear")

    fitting = [skin.texture.level(side / patch.to_crop.scale) for skin, patch in zip(skins, patches, strict=True)]
    return laid_out(fitting, fields)


def _moves(patches: Sequence[Patch], boxes: Sequence[FrameBox]) -> list[Similarity]:
    """From the pixels of the boxes to those of the patches' pictures."""
    return [
        Similarity(1.0, 0.0, float(left), float(top)).then(patch.to_crop)
        for patch, (left, top, _, _) in zip(patches, boxes, strict=True)
    ]


def _shape(boxes: Sequence[FrameBox]) -> tuple[int, int]:
    """Height and width of boxes of one size."""
    left, top, right, bottom = boxes[0]
    return bottom - top, right - left


def _sample(pictures: Tensor, moves: Sequence[Similarity], shape: tuple[int, int], mode: str) -> Tensor:
    """`sampled`; OpenCV does the same, and on a processor takes a quarter of the time."""
    sample = sampled_by_opencv if pictures.device.type == "cpu" else sampled
    return sample(pictures, moves, shape, mode)


def sampled(pictures: Tensor, moves: Sequence[Similarity], shape: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Where each pixel of pictures of `shape` (height, width) is taken to by its move, the value there; `mode` is
    bilinear or bicubic."""
    size, (height, width) = pictures.shape[-1], shape
    rows = [(2 * m.a / size, 2 * m.b / size, (2 * m.tx + 1) / size - 1, (2 * m.ty + 1) / size - 1) for m in moves]
    a, b, tx, ty = pictures.new_tensor(rows)[:, :, None, None].unbind(dim=1)
    x = torch.arange(width, device=pictures.device)[None, None, :]
    y = torch.arange(height, device=pictures.device)[None, :, None]
    where = torch.stack([(a * x + tx) - b * y, b * x + (a * y + ty)], dim=-1)
    return functional.grid_sample(pictures, where, mode=mode, padding_mode="border", align_corners=False)


def sampled_by_opencv(
    pictures: Tensor, moves: Sequence[Similarity], shape: tuple[int, int], mode: str = "bilinear"
) -> Tensor:
    """The same as `sampled`, on a processor."""
    how = (cv2.INTER_CUBIC if mode == "bicubic" else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    made = np.empty((len(moves), pictures.shape[1], *shape), np.float32)
    for out, picture, move in zip(made, pictures.permute(0, 2, 3, 1).contiguous().numpy(), moves, strict=True):
        warped = cv2.warpAffine(picture, move.matrix, shape[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE)
        out[:] = warped.transpose(2, 0, 1)
    return torch.from_numpy(made)


@cache
def _enlarging(size: int, times: int, mode: str) -> Float[Tensor, "larger size"]:
    """The matrix that interpolates `size` values `times` as densely."""
    unit = torch.eye(size)[None, None]
    return functional.interpolate(unit, size=(times * size, size), mode=mode, align_corners=False)[0, 0]


def _poisson(faces: Pictures, below: Pictures, alphas: Alphas) -> Pictures:
    """The faces with the gradients that they have and the colours that the frame has round them.

    Perez et al., "Poisson image editing" (2003), by OpenCV, on the processor.
    """
    made = []
    for face, frame, alpha in zip(faces, below, alphas, strict=True):
        source, target = (_bordered(x.clamp(0, 255).permute(1, 2, 0)) for x in (face, frame))
        mask = _bordered(255 * (alpha[0] > _SOLID))
        mask[:_ROOM], mask[-_ROOM:], mask[:, :_ROOM], mask[:, -_ROOM:] = 0, 0, 0, 0
        x, y, width, height = cv2.boundingRect(mask)
        if min(width, height) > 2:
            source = cv2.seamlessClone(source, target, mask, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
        made.append(torch.from_numpy(source[_ROOM:-_ROOM, _ROOM:-_ROOM]).permute(2, 0, 1))
    return torch.stack(made).to(faces)


def _bordered(values: Tensor) -> np.ndarray:
    """As uint8 with a border of `_ROOM` px, which OpenCV's solver needs."""
    room = ((_ROOM, _ROOM),) * 2 + ((0, 0),) * (values.dim() - 2)
    return np.pad(values.to(torch.uint8).cpu().numpy(), room, mode="edge")
