"""Which numbers a device computes with."""

from __future__ import annotations

import torch


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies matrices of bfloat16 faster than those of float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
