"""The baseline of the benchmarks: a plain PyTorch rendition of the published 64 px "original" network."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

BATCH = 16
"""Faces of each person in a step."""


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
        """The first half of the batch by one decoder, the second by the other; RGB 0..1 there and back."""
        halves = self.encoder(faces).chunk(2)
        return torch.cat([d(h) for d, h in zip(self.decoders, halves, strict=True)]).sigmoid()


def upscale(inputs: int, outputs: int) -> list[nn.Module]:
    """A 3x3 convolution to four times the channels, rearranged to twice the size."""
    return [nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.LeakyReLU(0.1), nn.PixelShuffle(2)]


def start(device: torch.device) -> tuple[Original, torch.optim.Adam]:
    """The network and its optimizer, both as published."""
    model = Original().to(device)
    return model, torch.optim.Adam(model.parameters(), lr=5e-5, betas=(0.5, 0.999))


def step(model: Original, optimizer: torch.optim.Adam, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """One step of the mean absolute error."""
    optimizer.zero_grad(set_to_none=True)
    (model(inputs) - targets).abs().mean().backward()
    optimizer.step()
