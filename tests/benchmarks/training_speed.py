"""How many faces a second training takes in, beside the published 64 px "original" network in the same run.

    uv run python tests/benchmarks/training_speed.py [--device cuda]

The baseline is a plain PyTorch rendition of that network: 82 M parameters, batch 16 a person, float32, Adam, L1,
fed with ready tensors. Ours is measured whole: corruption, geometry, losses, optimizer, averaging.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from faceswap.config import PRESETS, TrainConfig
from faceswap.training.bank import Bank
from faceswap.training.state import Budget, start_training
from faceswap.training.step import train

_BASELINE_BATCH = 16


class Original(nn.Module):
    """5x5 stride-2 convolutions 128-256-512-1024, dense 1024, dense 4x4x1024, sub-pixel upscales 512 | 256-128-64."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 128, 256, 512, 1024]
        down = [m for i, o in pairwise(widths) for m in (nn.Conv2d(i, o, 5, 2, 2), nn.LeakyReLU(0.1))]
        dense = [nn.Flatten(), nn.Linear(16384, 1024), nn.Linear(1024, 16384), nn.Unflatten(1, (1024, 4, 4))]
        self.encoder = nn.Sequential(*down, *dense, *upscale(1024, 512))
        self.decoders = nn.ModuleList(
            nn.Sequential(*upscale(512, 256), *upscale(256, 128), *upscale(128, 64), nn.Conv2d(64, 3, 5, padding=2))
            for _ in range(2)
        )

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """The first half of the batch by one decoder, the second by the other."""
        halves = self.encoder(faces).chunk(2)
        return torch.cat([d(h) for d, h in zip(self.decoders, halves, strict=True)]).sigmoid()


def upscale(inputs: int, outputs: int) -> list[nn.Module]:
    """A 3x3 convolution to four times the channels, rearranged to twice the size."""
    return [nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.LeakyReLU(0.1), nn.PixelShuffle(2)]


def baseline(device: torch.device, seconds: float) -> tuple[float, float]:
    """Faces a second, and millions of parameters."""
    model = Original().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-5, betas=(0.5, 0.999))
    faces = torch.rand(2 * _BASELINE_BATCH, 3, 64, 64, device=device)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        (model(faces) - faces).abs().mean().backward()
        optimizer.step()

    step()
    steps, start = 0, clock(device)
    while clock(device) - start < seconds:
        step()
        steps += 1
    rate = steps * len(faces) / (clock(device) - start)
    return rate, sum(p.numel() for p in model.parameters()) / 1e6


def ours(preset: str, batch: int, device: torch.device, seconds: float) -> tuple[float, float, float]:
    """Faces a second, millions of parameters, and the share of the time that steps waited for data."""
    config, settings = PRESETS[preset], TrainConfig(batch_size=batch)
    rng = np.random.default_rng(0)
    side = config.size * 3 // 2
    faces = torch.from_numpy(rng.integers(0, 255, (100, 5, side, side), np.uint8))
    banks = {p: Bank(faces, config.size, settings, i, 0, device) for i, p in enumerate(config.persons)}
    state = start_training(config, settings, device)
    steps, start, waited = -3, 0.0, 0.0
    for metrics in train(state, banks, Budget(seconds=1e9)):
        steps += 1
        if steps == 0:
            start, waited = clock(device), metrics.waited
        if steps > 0 and steps % 4 == 0 and clock(device) - start >= seconds:
            break
    took = clock(device) - start
    for bank in banks.values():
        bank.close()
    parameters = sum(p.numel() for p in state.model.parameters()) / 1e6
    return steps * 2 * batch / took, parameters, (metrics.waited - waited) / took


def clock(device: torch.device) -> float:
    """Seconds, with all work on the device done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--presets", nargs="*", default=["nano", "base"])
    parser.add_argument("--batches", nargs="*", type=int, default=[8, 16])
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores {platform.machine()}"
    )
    print(f"{time.strftime('%Y-%m-%d')}, {name}, torch {torch.__version__}")
    rate, parameters = baseline(device, arguments.seconds)
    print(f"original   batch {_BASELINE_BATCH:3d}  {rate:8.1f} faces/s           {parameters:6.1f} M parameters")
    for preset in arguments.presets:
        for batch in arguments.batches:
            got, parameters, waited = ours(preset, batch, device, arguments.seconds)
            print(
                f"{preset:10s} batch {batch:3d}  {got:8.1f} faces/s  {got / rate:6.1f}x  {parameters:6.1f} M parameters"
                f"  waited for data {waited:.1%}"
            )
    print(f"peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
