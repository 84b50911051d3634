"""The bank: one person's faces, decoded once, in memory on the training device.

Beside each clean face lies its corrupted twin. A background thread keeps refreshing the twins, a few per step
in turn, so that the training step itself never waits for a CPU filter. Which twin is refreshed when, and how
it is damaged, depends on (seed, face, how often) alone: a resumed training sees exactly what an uninterrupted
one would have seen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from faceswap.config import TrainConfig
from faceswap.training.augment import Corruption, draw_geometry, sample
from faceswap.types import Picture


@dataclass(frozen=True)
class Sample:
    """One face as it lies in the bank, all of the same side: a little larger than the model's picture, so that
    turning and scaling it does not blur it."""

    picture: Picture
    mask: UInt8[np.ndarray, "side side"]
    """Which pixels are face, 0..255."""
    features: UInt8[np.ndarray, "side side"]
    """Which pixels are eyes and mouth, 0..255."""


@dataclass(frozen=True)
class Batch:
    """What one person contributes to a training step; float, 0..1."""

    input: Float[Tensor, "batch 3 size size"]
    """Corrupted and warped."""
    target: Float[Tensor, "batch 3 size size"]
    mask: Float[Tensor, "batch 1 size size"]
    features: Float[Tensor, "batch 1 size size"]


class Bank:
    """A person's faces on `device`, giving batches of `size` px pictures.

    `person` is the person's number in the model: two persons draw different random numbers.
    """

    def __init__(
        self, samples: Sequence[Sample], size: int, config: TrainConfig, person: int, step: int, device: torch.device
    ) -> None:
        stacked = np.stack([np.dstack([s.picture, s.mask, s.features]) for s in samples])
        self.clean: UInt8[Tensor, "faces 5 side side"] = _planes(stacked).to(device)
        self.seconds_waited = 0.0
        self._pictures = [sample.picture for sample in samples]
        self._size, self._config, self._person = size, config, person
        self._corrupt = Corruption(config.corruption)
        self._per_step = max(1, config.batch_size // 2)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"corruption-{person}")
        self._twins: UInt8[Tensor, "faces 3 side side"] = self._damaged(range(len(self)), step).to(device)
        self._pending: Future[UInt8[Tensor, "some 3 side side"]] = self._prepare(step)

    def __len__(self) -> int:
        return len(self._pictures)

    def close(self) -> None:
        """Stop the background thread."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def batch(self, step: int, difficulty: float = 1.0) -> Batch:
        """The batch of training step `step`; `difficulty` (0..1) scales the affine map and the warp.

        Steps are asked for in order, from the one given at the start.
        """
        self._refresh(step)
        device = self.clean.device
        rng = torch.Generator(device).manual_seed(self._seed(0, step))
        chosen = torch.randint(len(self), (self._config.batch_size,), generator=rng, device=device)
        affine, warp = self._config.affine * difficulty, self._config.warp * difficulty
        geometry = draw_geometry(len(chosen), self._size, affine, warp, rng)
        clean = sample(self.clean[chosen], geometry.target)
        return Batch(sample(self._twins[chosen], geometry.input), clean[:, :3], clean[:, 3:4], clean[:, 4:])

    def _refresh(self, step: int) -> None:
        """Put this step's fresh twins in place and have the next step's made."""
        start = time.perf_counter()
        fresh = self._pending.result()
        self.seconds_waited += time.perf_counter() - start
        self._twins[self._turn(step)] = fresh.to(self._twins.device)
        self._pending = self._prepare(step + 1)

    def _prepare(self, step: int) -> Future[UInt8[Tensor, "some 3 side side"]]:
        return self._worker.submit(self._damaged, self._turn(step), step + 1)

    def _turn(self, step: int) -> list[int]:
        """Whose twins step `step` refreshes: everybody's in turn."""
        first = step * self._per_step
        return [i % len(self) for i in range(first, first + min(self._per_step, len(self)))]

    def _damaged(self, faces: Sequence[int], steps_done: int) -> UInt8[Tensor, "some 3 side side"]:
        """The twins that `faces` have once `steps_done` steps have refreshed theirs."""
        turns = steps_done * self._per_step
        twins = []
        for face in faces:
            generation = max(0, (turns - 1 - face) // len(self) + 1)
            twins.append(self._corrupt(self._pictures[face], self._seed(1, face, generation)))
        return _planes(np.stack(twins))

    def _seed(self, *numbers: int) -> int:
        state = np.random.SeedSequence([self._config.seed, self._person, *numbers]).generate_state(1)
        return int(state[0])


def _planes(pictures: UInt8[np.ndarray, "n h w c"]) -> UInt8[Tensor, "n c h w"]:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
