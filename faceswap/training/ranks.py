"""Several processes that train one model together, each with its share of every batch (data parallelism).

torchrun starts them, on one machine or many, and tells each its rank; a program that was started without it is the
only rank. All ranks draw the same random numbers, so that together they do what one process would do alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from faceswap.errors import ConfigError, TrainingError

_PATIENCE = timedelta(minutes=5)  # with a rank that does not answer


@dataclass(frozen=True)
class Ranks:
    """This process among all that train together."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes, shows and decides."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Which faces of a batch are this rank's."""
        if batch % self.world:
            raise ConfigError(
                f"{self.world} processes cannot share batches of {batch} faces",
                f"Set batch_size to a multiple of {self.world}",
            )
        mine = batch // self.world
        return slice(self.rank * mine, (self.rank + 1) * mine)

    def all_gather(self, rows: Tensor, persons: int) -> Tensor:
        """The rows of all ranks, on all of them; `rows` are of so many persons, one behind the other, in equal parts,
        and so is the result."""
        if self.world == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts).reshape(self.world, persons, -1, *rows.shape[1:]).transpose(0, 1).flatten(0, 2)

    def all_reduce_mean(self, gradients: list[Tensor]) -> None:
        """Replace each by its mean over the ranks."""
        for gradient in gradients if self.world > 1 else ():
            dist.all_reduce(gradient)
            gradient /= self.world

    def broadcast(self, tensors: list[Tensor]) -> None:
        """Make these what they are on the first rank."""
        for tensor in tensors if self.world > 1 else ():
            dist.broadcast(tensor.detach(), 0)

    def broadcast_value(self, value: float, device: torch.device) -> float:
        """What the first rank says: clocks differ."""
        if self.world == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(said, 0)
        return float(said)


@contextmanager
def open_ranks(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """This process's rank and device: of several CUDA devices the one that torchrun gave it.

    Raises TrainingError when another rank has ended and gloo tells so; NCCL ends the process itself, within minutes.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(), device
        return

    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)

    try:
        yield Ranks(dist.get_rank(), world), device
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise TrainingError(
            "another process of this training has ended, so this one ends, too",
            "Start all of them again: they go on from the last checkpoint",
        ) from error
    finally:
        dist.destroy_process_group()
