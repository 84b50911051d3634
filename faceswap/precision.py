"""Which numbers a device computes with."""

from __future__ import annotations

import time
from functools import cache

import torch
from torch import nn

_GAIN = 1.2  # times as fast bfloat16 has to be; where it helps it is nearly twice as fast, so chance cannot decide
_CHANNELS, _SIDE, _FACES = 64, 32, 8  # of the convolution that is timed
_TIMES = 5


@cache
@torch.inference_mode(mode=False)  # whoever asks may have no use for gradients
@torch.enable_grad()
def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether convolutions of bfloat16 are faster than those of float32.

    A processor that has the instructions is tried out, which takes 150 ms: some are twice as fast with them (AMD's, and
    Intel's with AMX), and some (Intel's with AVX512-BF16 alone) half as fast. In one thread, by the time that the
    processor spends on it: on a busy machine the clock would leave the answer to chance, and a training that goes on
    after a stop would no longer compute the same.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if not torch.cpu.get_capabilities().get("avx512_bf16", False):
        return False

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _seconds(torch.bfloat16) * _GAIN < _seconds(torch.float32)
    finally:
        torch.set_num_threads(threads)


def _seconds(kind: torch.dtype) -> float:
    """The least processor time of a convolution there and back."""
    # The device is named: whoever asks may be counting memory on tensors without content, which take no time.
    layer = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, device="cpu", dtype=kind).to(
        memory_format=torch.channels_last
    )

    features = torch.ones(_FACES, _CHANNELS, _SIDE, _SIDE, device="cpu", dtype=kind)
    features = features.to(memory_format=torch.channels_last)

    durations = []
    for _ in range(_TIMES + 1):  # the first one also prepares
        start = time.thread_time()
        layer(features).sum().backward()
        durations.append(time.thread_time() - start)

    return min(durations)
