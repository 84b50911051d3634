"""The bank: one person's faces, decoded once, as one block of bytes on the training device.

Beside each clean face lies a corrupted copy. Background threads keep refreshing the copies, a few per step in
turn, so that the training step itself never waits for a CPU filter. Which copy is refreshed when, and how it is
damaged, depends on (seed, face, how often) alone: a resumed training sees exactly what an uninterrupted one would
have seen. A bank that does not fit into the device's memory lies in a file, and each batch is read ahead.
"""

from __future__ import annotations

import math
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from faceswap.config import TrainConfig
from faceswap.errors import OutputError
from faceswap.model.detail import Window
from faceswap.seeds import seed_of
from faceswap.training.augment import Corruption, draw_geometry, resampled
from faceswap.types import Picture

_REFRESHED = 8  # copies of a person in a step, at most: a GPU would ask for more than processors can make
_CHUNK = 256  # copies made at once in the beginning
_AHEAD = 4  # steps whose fresh copies are being made, so that one slow one does not hold up the next step

FacePlanes = UInt8[Tensor, "faces planes side side"]
"""R, G, B, face mask, mask of eyes and mouth, and perhaps what of the face is seen, 0..255. A little larger than the
model's picture, so that turning and scaling do not blur it."""
PLANES, VISIBLE = 5, 5
"""How many there are without the last one, and its number."""
Corrupted = UInt8[Tensor, "faces 3 side side"]
Bytes = UInt8[Tensor, "*any"]
Pictures = Float[Tensor, "batch 3 size size"]
Planes = Float[Tensor, "batch planes h w"]


@dataclass(frozen=True)
class Sample:
    """One face with its masks, all of the same side."""

    picture: Picture
    mask: UInt8[np.ndarray, "side side"]
    """Which pixels are face, 0..255."""
    features: UInt8[np.ndarray, "side side"]
    """Which pixels are eyes and mouth, 0..255."""

    def planes(self) -> UInt8[Tensor, "5 side side"]:
        """As it lies in a bank."""
        return _planes(np.dstack([self.picture, self.mask, self.features]))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one person contributes to a training step; float, 0..1."""

    input: Float[Tensor, "batch 3 size size"]
    """Corrupted and warped."""
    target: Float[Tensor, "batch 3 h w"]
    """Of the input's size; or of the detail stage's, and only what lies in `window`."""
    mask: Float[Tensor, "batch 1 h w"]
    features: Float[Tensor, "batch 1 h w"]
    visible: Float[Tensor, "batch 1 h w"] | None = None
    """1 where the face is seen, 0 where something lies in front of it; None: all of it is seen."""
    persons: Int64[Tensor, " batch"] | None = None
    """Whose face each is, by number, where a batch shows many persons."""
    window: Window | None = None
    """What part of the input the target shows; None is all of it."""

    @classmethod
    def of(cls, shown: Pictures, wanted: Planes, window: Window | None = None) -> Batch:
        """What is shown to the network, and what it is to give back: planes as in a bank, 0..1."""
        return cls(
            input=shown,
            target=wanted[:, :3],
            mask=wanted[:, 3:4],
            features=wanted[:, 4:5],
            visible=wanted[:, VISIBLE:] if wanted.shape[1] > VISIBLE else None,
            window=window,
        )


@runtime_checkable
class Source(Protocol):
    """Where a training step has a batch from: a `Bank` of one person's faces, or a `portraits.PortraitBank`."""

    seconds_waited: float
    """That steps have spent waiting for data."""

    def batch(self, step: int, difficulty: float = 1.0) -> Batch:
        """The batch of training step `step`; `difficulty` (0..1) scales the affine map and the warp."""
        ...


def allocate(shape: Sequence[int], folder: Path | None) -> Bytes:
    """Bytes of this shape: in memory, or if a folder is given in a file there that nobody else sees and that vanishes
    with the process, however it ends. Raises OutputError if the disk is full."""
    if folder is None:
        return torch.empty(*shape, dtype=torch.uint8)

    size = int(np.prod(shape))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):  # a full disk is to be known now, not at some later write
                os.posix_fallocate(file.fileno(), 0, size)
            return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=tuple(shape)))
    except OSError as error:
        raise OutputError(
            f"the faces need {size / 2**30:.1f} GiB on disk beside the model, which are not there ({error})",
            "Make room, or train with fewer faces: faceswap faces reject --balance 2000",
        ) from error


class Bank:
    """A person's faces, giving batches of `size` px pictures on `device`.

    `person` is the person's number in the model: two persons draw different random numbers. Of each batch only the
    rows `share` are made: those of this process. With a `folder` the faces stay where they are, and their copies lie
    in a file there; without one both are copied to the device.
    """

    def __init__(
        self,
        faces: FacePlanes,
        size: int,
        config: TrainConfig,
        person: int,
        step: int,
        device: torch.device,
        *,
        share: slice | None = None,
        folder: Path | None = None,
    ) -> None:
        self.device, self.seconds_waited = device, 0.0

        self._originals = faces  # what the corrupting threads read
        self._size, self._config, self._person = size, config, person
        self._share = share or slice(None)
        self._per_step = max(1, min(config.batch_size // 2, _REFRESHED, len(faces)))

        self._threads = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 4), f"corruption-{person}")
        self._own = threading.local()
        self._made: deque[dict[int, Future[Picture]]] = deque()
        """By face, the fresh copies of the steps that come next."""

        # Faces and their corrupted copies, one for each to begin with.
        place = torch.device("cpu") if folder else device
        self._faces = faces.to(place)
        self._copies: Corrupted = allocate((len(faces), 3, *faces.shape[2:]), folder).to(place)
        for some in torch.split(torch.arange(len(faces)), _CHUNK):
            made = self._threads.map(lambda face: self._corrupted_copy(face, step), some.tolist())
            self._copies[some[0] : some[-1] + 1] = torch.stack([_planes(copy) for copy in made]).to(place)

        for following in range(step, step + _AHEAD):
            self._make(following)

        self._reader = ThreadPoolExecutor(1, f"reader-{person}") if folder else None
        self._read = self._reader.submit(self._rows, step) if self._reader else None

    def __len__(self) -> int:
        return len(self._faces)

    def close(self) -> None:
        """Stop the background threads."""
        for threads in (self._reader, self._threads):
            if threads is not None:
                threads.shutdown(wait=True, cancel_futures=True)

    def batch(self, step: int, difficulty: float = 1.0) -> Batch:
        """The batch of training step `step`; `difficulty` (0..1) scales the affine map and the warp.

        Steps are asked for in order, from the one given at the start.
        """
        faces, copies = self._next_rows(step)

        rng = torch.Generator(self.device).manual_seed(self._seed(0, step))
        affine, warp = self._config.affine * difficulty, self._config.warp * difficulty
        geometry = draw_geometry(self._config.batch_size, self._size, affine, warp, rng, flip=self._config.flip)

        clean = resampled(faces, geometry.target[self._share])
        return Batch.of(resampled(copies, geometry.input[self._share]), clean)

    def shown(self, count: int) -> Batch:
        """Up to `count` faces as they are, evenly from all."""
        return self._undamaged(torch.linspace(0, len(self) - 1, min(count, len(self))).long())

    def draw(self, count: int, seed: int) -> Batch:
        """Faces as they are, drawn by chance."""
        return self._undamaged(torch.randint(len(self), (count,), generator=torch.Generator().manual_seed(seed)))

    def _undamaged(self, chosen: Tensor) -> Batch:
        return upright(self._originals[chosen].to(self.device), self._size)

    def _next_rows(self, step: int) -> tuple[FacePlanes, Corrupted]:
        if self._reader is None or self._read is None:
            return self._rows(step)
        start = time.perf_counter()
        rows = self._read.result()
        self.seconds_waited += time.perf_counter() - start
        self._read = self._reader.submit(self._rows, step + 1)
        return rows

    def _rows(self, step: int) -> tuple[FacePlanes, Corrupted]:
        """The faces that step `step` has chosen and their corrupted copies, some of them fresh."""
        self._refresh(step)
        rng = torch.Generator().manual_seed(self._seed(2, step))
        chosen = torch.randint(len(self), (self._config.batch_size,), generator=rng)[self._share]
        there = self._onto(self._faces.device, chosen)
        return self._onto(self.device, self._faces[there]), self._onto(self.device, self._copies[there])

    def _onto(self, device: torch.device, values: Tensor) -> Tensor:
        """The same values there, without waiting for a GPU."""
        if values.device.type == "cpu" and device.type == "cuda":
            return values.pin_memory().to(device, non_blocking=True)
        return values.to(device)

    def _refresh(self, step: int) -> None:
        """Put this step's fresh copies in place and have those of a later step made."""
        start = time.perf_counter()
        fresh = {face: made.result() for face, made in self._made.popleft().items()}
        if self._reader is None:  # else it is the reader who waits
            self.seconds_waited += time.perf_counter() - start
        place, turn = self._copies.device, torch.tensor(list(fresh))
        copies = torch.stack([_planes(copy) for copy in fresh.values()])
        self._copies.index_copy_(0, self._onto(place, turn), self._onto(place, copies))
        self._make(step + _AHEAD)

    def _make(self, step: int) -> None:
        """Have the copies made that step `step` refreshes: everybody's in turn."""
        turn = (face % len(self) for face in range(step * self._per_step, (step + 1) * self._per_step))
        self._made.append({face: self._threads.submit(self._corrupted_copy, face, step + 1) for face in turn})

    def _corrupted_copy(self, face: int, steps_done: int) -> Picture:
        """The corrupted copy that `face` has once `steps_done` steps have refreshed theirs."""
        generation = max(0, math.ceil((steps_done * self._per_step - face) / len(self)))  # how often it was its turn
        if not hasattr(self._own, "corrupt"):  # its random state is not to be shared between threads
            self._own.corrupt = Corruption(self._config.corruption, self._config.corruptions)
        picture = np.ascontiguousarray(self._originals[face, :3].permute(1, 2, 0).numpy())
        copy: Picture = self._own.corrupt(picture, self._seed(1, face, generation))
        return copy

    def _seed(self, *numbers: int) -> int:
        return seed_of(self._config.seed, self._person, *numbers)


def _planes(picture: UInt8[np.ndarray, "h w c"]) -> UInt8[Tensor, "c h w"]:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))


def reduced(faces: FacePlanes, side: int, place: Path | None = None) -> UInt8[Tensor, "faces planes less less"]:
    """The faces at `side` px, or as they are if that is not less; in a file in `place`, if that is given."""
    if side >= faces.shape[-1]:
        return faces
    small = allocate((len(faces), faces.shape[1], side, side), place)
    for some in torch.split(torch.arange(len(faces)), _CHUNK):
        values = functional.interpolate(faces[some].float(), size=(side, side), mode="area")
        small[some[0] : some[-1] + 1] = values.round().to(torch.uint8)
    return small


def upright(faces: FacePlanes, size: int) -> Batch:
    """Faces at the model's size, neither moved nor damaged: what the model is shown is what it is to give back."""
    still = torch.eye(2, 3, device=faces.device).expand(len(faces), 2, 3)
    seen = resampled(faces, functional.affine_grid(still, [len(faces), 1, size, size], align_corners=False))
    return Batch.of(seen[:, :3], seen)
