"""Where networks run."""

from __future__ import annotations

import torch

from faceswap.errors import DeviceError


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
