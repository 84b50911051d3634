"""Eyes, brows and mouth as fine as the person's own pictures show them: example-based detail.

A decoder that has learnt for minutes knows where lashes, teeth and the hairs of a brow lie, and draws their mean. The
pictures that it has learnt from show them. So the face that it has drawn is compared with what it draws of some of
these pictures, the examples. What those that look alike have and their drawings lack is added to the face: moved to
where it belongs by the optical flow between the two drawings, and as far as these agree. Both are drawings of one
decoder, so they differ in nothing but what the face does.

Freeman, Jones and Pasztor, "Example-based super-resolution" (2002); the flow is Kroeger et al., "Fast optical flow
using dense inverse search" (2016).

Nothing is remembered from frame to frame: one drawing always gets the same detail, and drawings that differ a little
get details that do.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from faceswap.faces.masks import Mask, eye_and_brow_mask, mouth_and_beard_mask
from faceswap.model.swap_model import SwapModel
from faceswap.swapping.drawing import Drawn, draw
from faceswap.types import AlignedFace, Picture

LEAST_SIDE = 128
"""Of a drawn face, in pixels: smaller ones show no such detail."""

_MIXED = 2  # examples of each feature: one alone would jump to the next one, more blur
_LEAST_SHARE = 0.02  # of the detail: less is not seen
_SIDE = 128  # of the drawings between which flow is found
_ROOM = 4  # pixels of these round a feature
_LEAST_REACH = 24  # pixels of these: OpenCV's flow breaks down in pictures of less than 16
_SEEN = 5  # of 255, of a feature's mask
_BLUR = 1.3  # pixels of these over which disagreement is looked at
_AGREEMENT = 0.06  # of 1: drawings that differ so much agree to a third
_LIGHT = 12  # px: what a picture of this side shows is light, the decoder's to draw
_KEPT = 128 << 20  # bytes of examples: all 96 at 512 px
_ZERO = 128  # of a byte: a picture has nothing that its drawing lacks

Grey = Float[np.ndarray, "h w"]
Flow = Float[np.ndarray, "h w 2"]


@dataclass(frozen=True, kw_only=True)
class _Example:
    """A picture, as far as it is of use."""

    grey: Grey
    """Its drawing, of `_SIDE` px, 0..1."""
    lacking: UInt8[np.ndarray, "side side 3"]
    """What the picture has and its drawing lacks, in levels of 255 from `_ZERO`."""


class ExampleDetail:
    """One person's examples, beside what `model` draws of them."""

    def __init__(self, model: SwapModel, person: str, pictures: Sequence[Picture]) -> None:
        """`pictures` are aligned crops."""
        self._model, self._person, self._pictures = model, person, pictures
        self._device = next(model.parameters()).device
        self._examples: dict[tuple[int, int], _Example] = {}  # by number and side, the last one last
        self._lock = threading.Lock()

        # What the decoder draws of all of them, small: a look at each.
        size = model.config.size
        small = np.stack([_resized(picture, size) for picture in pictures])
        with torch.inference_mode():
            inputs = torch.from_numpy(small).to(self._device).permute(0, 3, 1, 2).float() / 255
            self._latents = model.encode(inputs)
            self._looks = model.decode(self._latents, person).picture.mean(dim=1).flatten(1)

    def added_to(self, drawn: Drawn, face: AlignedFace, strength: float) -> Drawn:
        """What was drawn for `face` with detail; larger than it was drawn if the video can show more. It has at least
        `LEAST_SIDE` px."""
        side = _side_for(drawn.side, wanted=self._model.config.size / face.to_crop.scale)
        canvas = _resized(self._downloaded(drawn.picture), side)
        grey = _grey(drawn)

        points = face.points_at(_SIDE)
        for feature in (eye_and_brow_mask(points, _SIDE), mouth_and_beard_mask(points, _SIDE)):
            if feature.max() <= _SEEN:
                continue
            for index, share in self._alike(drawn.coarse, feature):
                _add(canvas, grey, feature, self._example(index, side), strength * share)

        picture = torch.from_numpy(canvas).to(self._device).permute(2, 0, 1).clamp(0, 1).contiguous()
        mask = functional.interpolate(drawn.mask[None, None], size=side, mode="bilinear", align_corners=False)[0, 0]
        return Drawn(picture=picture, coarse=drawn.coarse, mask=mask)

    def _alike(self, coarse: Float[Tensor, "3 coarse coarse"], feature: Mask) -> list[tuple[int, float]]:
        """The examples whose drawing is most like this one where the feature is, but for their brightness; and how
        much of the detail each is to give. The next best one would give nothing: none comes or goes at once."""
        size = coarse.shape[-1]
        weights = torch.from_numpy(_resized(feature, size)).to(self._device).float().flatten()
        weights = weights / weights.sum()

        apart = self._looks - coarse.mean(dim=0).flatten()
        distances = (apart**2 @ weights - (apart @ weights) ** 2).clamp_min(0).sqrt().cpu()
        nearest = distances.topk(min(_MIXED + 1, len(distances)), largest=False)
        if len(distances) == 1:
            return [(0, 1.0)]

        better = nearest.values[-1] - nearest.values[:-1]
        shares = better / better.sum() if better.sum() > 0 else torch.full_like(better, 1 / len(better))
        chosen = zip(nearest.indices.tolist(), shares.tolist(), strict=False)
        return [(index, share) for index, share in chosen if share >= _LEAST_SHARE]

    def _example(self, index: int, side: int) -> _Example:
        """Made when it is first asked for. The last ones are kept; several threads may ask at once."""
        with self._lock:
            example = self._examples.pop((index, side), None) or self._made(index, side)
            self._examples[index, side] = example
            while sum(kept.lacking.nbytes for kept in self._examples.values()) > _KEPT:
                del self._examples[next(iter(self._examples))]
            return example

    def _made(self, index: int, side: int) -> _Example:
        """The picture of this number, at `side` px, held against its drawing."""
        with torch.inference_mode():
            latent = self._latents[index : index + 1]
            (drawn,) = draw(self._model, latent, self._person, self._model.config.output_size)

        picture = _resized(self._pictures[index], side).astype(np.float32)
        lacking = picture - 255 * _resized(self._downloaded(drawn.picture), side)
        lacking += _ZERO - _resized(_resized(lacking, _LIGHT), side)
        return _Example(grey=_grey(drawn), lacking=np.rint(lacking).clip(0, 255).astype(np.uint8))

    def _downloaded(self, picture: Float[Tensor, "3 h w"]) -> Float[np.ndarray, "h w 3"]:
        return np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())


def _add(
    canvas: Float[np.ndarray, "side side 3"], grey: Grey, feature: Mask, example: _Example, strength: float
) -> None:
    """Add an example's detail to the `canvas`, whose face is seen in `grey` as well, where the feature is."""
    rows, columns = (_reach(feature.max(axis=axis)) for axis in (1, 0))
    here, there = grey[rows, columns], example.grey[rows, columns]

    # Where each pixel of the feature lies in the example's drawing, and how far they agree.
    flow = _flow(here, there)
    x, y = _grid(here.shape) + np.moveaxis(flow, 2, 0)
    apart = cv2.remap(there, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) - here
    apart = cv2.GaussianBlur(np.abs(apart - apart.mean()), (0, 0), _BLUR)
    share = strength * np.exp(-((apart / _AGREEMENT) ** 2)) * (feature[rows, columns] / np.float32(255))

    # The same at full size, and what the example has there.
    times = canvas.shape[0] / _SIDE
    rows, columns = (slice(round(times * way.start), round(times * way.stop)) for way in (rows, columns))
    painted, lacking = canvas[rows, columns], example.lacking[rows, columns]
    size = painted.shape[1::-1]
    x, y = _grid(painted.shape) + np.moveaxis(times * cv2.resize(flow, size), 2, 0)
    lacking = cv2.remap(lacking, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    painted += cv2.resize(share / np.float32(255), size)[..., None] * (lacking - np.float32(_ZERO))


def _grey(drawn: Drawn) -> Grey:
    """The mean of the colours, in a picture of `_SIDE` px."""
    grey = drawn.picture.mean(dim=0)[None, None]
    small = functional.interpolate(grey, size=_SIDE, mode="area")[0, 0]
    return np.ascontiguousarray(small.cpu().numpy())


def _flow(here: Grey, there: Grey) -> Flow:
    """By how many pixels what is seen here lies elsewhere there, whatever the brightness."""
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder.setUseSpatialPropagation(False)  # its result would depend on the number of threads
    there = there + (here.mean() - there.mean())
    one, other = (np.rint(255 * grey).clip(0, 255).astype(np.uint8) for grey in (here, there))
    still = np.zeros((*here.shape, 2), np.float32)
    return np.asarray(finder.calc(one, other, still), np.float32)


def _reach(seen: UInt8[np.ndarray, " pixels"]) -> slice:
    """The part of a line in which something of a feature is seen, with some room."""
    places = np.flatnonzero(seen > _SEEN)
    start, stop = max(int(places[0]) - _ROOM, 0), min(int(places[-1]) + 1 + _ROOM, len(seen))
    start = max(min(start, stop - _LEAST_REACH), 0)
    return slice(start, max(stop, start + _LEAST_REACH))


def _grid(shape: tuple[int, ...]) -> Float[np.ndarray, "2 h w"]:
    """x and y of the pixels of a picture of this height and width."""
    y, x = np.indices(shape[:2], np.float32)
    return np.stack([x, y])


def _side_for(side: int, wanted: float) -> int:
    """The side that shows what the video can: as drawn, half as large again, or twice as large."""
    if wanted <= 1.1 * side:
        return side
    return side * 3 // 2 if wanted <= 1.7 * side else 2 * side


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    """A square one, of any number of channels and kind."""
    if picture.shape[0] == side:
        return picture.copy()
    how = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_CUBIC
    return cv2.resize(picture, (side, side), interpolation=how)
