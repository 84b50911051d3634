"""The path of a frame: its faces are cut out, decoded as somebody else, smoothed over time, and pasted back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
import torch

from faceswap.config import SwapConfig
from faceswap.faces.align import align
from faceswap.faces.occlusion import SIDE
from faceswap.streams import batched
from faceswap.swapping.blend import FrameMask, paste
from faceswap.swapping.detail import noise_level
from faceswap.swapping.fitting import FrameBox, prepare
from faceswap.swapping.infer import FrameSwaps, Swapper
from faceswap.swapping.smooth import smoothed_over_time
from faceswap.types import AlignedFace, Face, Frame, Picture

_BATCH = 8
_BATCH_PIXELS = 17_000_000  # of the frames of a batch: eight of 1920 x 1080


def batch_size(width: int, height: int) -> int:
    """How many frames of this size go through the network and are pasted at once: fewer of large ones.

    Two runs that begin at a multiple of it make the same batches, and so the same pictures.
    """
    return max(1, min(_BATCH, _BATCH_PIXELS // (width * height)))


@dataclass(frozen=True)
class Target:
    """A face in a frame, and who it becomes."""

    face: Face
    person: str
    """One of the model's."""
    opacity: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A frame after its faces have been swapped."""

    frame: Frame
    """As it was."""
    image: Picture
    mask: FrameMask | None
    """How much of each pixel is swapped, 0..255; None if it was not asked for."""
    boxes: tuple[FrameBox, ...]
    """Inside which the image has changed."""
    turned: int = 0
    """Of its targets, how many are turned so far that their swap was faded, or left out."""


@dataclass(frozen=True, kw_only=True)
class _Cut:
    """One face, cut out, and what its decoding does not need."""

    face: AlignedFace
    target: Target
    opacity: float
    noise: float
    close_up: Picture | None
    """Of `occlusion.SIDE` px, if it is to be looked for what lies in front of the face, or where it looks."""


@dataclass(frozen=True)
class _CutFrame:
    """A frame, and the faces that were cut out of it."""

    frame: Frame
    faces: Sequence[_Cut]
    turned: int
    """See `FrameSwaps.turned`."""


def converted(
    frames: Iterable[tuple[Frame, Sequence[Target]]], swapper: Swapper, config: SwapConfig, with_masks: bool = False
) -> Iterator[Converted]:
    """The frames with their faces swapped; where one has none, its own picture comes out.

    Holds two batches of frames and those of `config.smooth` seconds after one. All frames are of one size.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        return
    height, width = first[0].image.shape[:2]
    size = batch_size(width, height)

    frames = chain([first], frames)
    del first  # large frames: none is kept that is done

    cuts = (_cut_frame(frame, targets, swapper, config) for frame, targets in frames)
    decoded = (swaps for batch in batched(cuts, size) for swaps in _decoded(batch, swapper, config))
    for batch in batched(smoothed_over_time(decoded, config.smooth), size):
        yield from _pasted(batch, config, with_masks)
        del batch


def _cut_frame(frame: Frame, targets: Sequence[Target], swapper: Swapper, config: SwapConfig) -> _CutFrame:
    """The faces of whose swap something is to be seen: a frame with none is not counted as swapped."""
    shares = [max(config.profiles, swapper.familiarity(target.face, target.person)) for target in targets]
    faces = [
        _cut(frame, target, swapper.size, config, opacity=target.opacity * share)
        for target, share in zip(targets, shares, strict=True)
        if share > 0
    ]
    return _CutFrame(frame, faces, turned=sum(share < 1 for share in shares))


def _cut(frame: Frame, target: Target, size: int, config: SwapConfig, *, opacity: float) -> _Cut:
    return _Cut(
        face=align(frame.image, target.face, size),
        target=target,
        opacity=opacity,
        noise=noise_level(frame.image, target.face.box) if config.grain > 0 else 0.0,
        close_up=align(frame.image, target.face, SIDE).image if config.occlusion > 0 or config.gaze > 0 else None,
    )


def _decoded(frames: Sequence[_CutFrame], swapper: Swapper, config: SwapConfig) -> Iterator[FrameSwaps]:
    """One batch: all of its faces go through the network at once."""
    cuts = [cut for cut_frame in frames for cut in cut_frame.faces]
    close_ups = [cut.close_up for cut in cuts if cut.close_up is not None]
    faces = [(cut.face, cut.target.person) for cut in cuts]
    wanted = {"occlusion": config.occlusion > 0, "gaze": config.gaze > 0}
    swaps = iter(swapper.swap(faces, close_ups, features=config.features, **wanted))

    for each in frames:
        own = [replace(next(swaps), opacity=cut.opacity, noise=cut.noise) for cut in each.faces]
        yield FrameSwaps(each.frame, own, each.turned)


@torch.inference_mode()
def _pasted(frames: Sequence[FrameSwaps], config: SwapConfig, with_masks: bool) -> list[Converted]:
    height, width = frames[0].frame.image.shape[:2]

    ready = iter(prepare([swap for each in frames for swap in each.swaps], config, width, height))
    patches = [[patch for patch in islice(ready, len(each.swaps)) if patch is not None] for each in frames]

    originals = [each.frame.image for each in frames]
    images = [image.copy() if here else image for image, here in zip(originals, patches, strict=True)]
    masks = [np.zeros((height, width), np.uint8) for _ in frames] if with_masks else None
    paste(images, patches, [each.frame.index for each in frames], config.blending, masks)

    return [
        Converted(
            frame=each.frame,
            image=image,
            mask=None if masks is None else masks[i],
            boxes=tuple(patch.box for patch in here),
            turned=each.turned,
        )
        for i, (each, image, here) in enumerate(zip(frames, images, patches, strict=True))
    ]
