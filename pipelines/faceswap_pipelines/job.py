"""What all jobs have in common: how they report, and how they are run and stopped."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import torch

from faceswap.errors import ConfigError, DeviceError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress:
    """How far a job is. A job may be closed whenever it has yielded one: what it did so far is on disk then."""

    title: str
    """What is being done, in a few words."""
    done: float
    total: float | None
    """None where nobody knows."""
    unit: str
    """Of `done` and `total`: "frames", "seconds", "%"..., or nothing where there is nothing to count."""
    note: str = ""
    """Figures that change while the job runs."""


Job = Generator[Progress, None, Result]


def run(job: Job[Result], watch: Callable[[Progress], object] = lambda _progress: None) -> Result:
    """Run a job to its end, showing each report to `watch`; its result.

    An exception in `watch` (a KeyboardInterrupt among them) closes the job, which saves what it has.
    """
    try:
        while True:
            watch(next(job))
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        job.close()


def frame_range(text: str) -> tuple[int, int | None]:
    """ "0:300", "100:" or ":50" as (first, stop); "" is everything. Raises ConfigError."""
    if not text:
        return 0, None
    first, colon, stop = text.partition(":")
    try:
        wanted = int(first or 0), int(stop) if stop else None
    except ValueError:
        wanted = -1, None
    if not colon or wanted[0] < 0 or (wanted[1] is not None and wanted[1] <= wanted[0]):
        raise ConfigError(f"'{text}' is not a range of frames", "Write it as FIRST:STOP, for example 0:300")
    return wanted


def pick_device(name: str) -> torch.device:
    """The device named "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1"... Raises DeviceError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"'{name}' is not a device", "Use auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"the device '{name}' is not supported", "Use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"the device '{name}' is not there: torch sees {torch.cuda.device_count()} CUDA GPUs",
            "Use --device cpu, or check the GPU's driver with nvidia-smi",
        )
    return device
