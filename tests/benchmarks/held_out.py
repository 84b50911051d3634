"""How well a model rebuilds faces that it was not trained on.

    uv run python tests/benchmarks/held_out.py MODEL a=FACESET b=FACESET

For each person: structural similarity (SSIM) of the rebuilt crop with the true one, at the model's size, over the
face mask (what a swap pastes) and over the whole crop, the mask's intersection over union, and a sheet of pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from faceswap.media.pictures import write_picture
from faceswap.quality.sheets import sheet
from faceswap.training.checkpoint import load_model
from faceswap.training.losses import ssim_map, weighted_mean
from faceswap_pipelines.train import load_samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("facesets", nargs="+", metavar="NAME=FACESET")
    parser.add_argument("--sheet", type=Path, default=Path("held_out.png"))
    arguments = parser.parse_args()
    model = load_model(arguments.model, torch.device("cpu"))
    rows = []
    for name, _, folder in (text.partition("=") for text in arguments.facesets):
        samples = load_samples(Path(folder), model.config.size)
        faces = torch.from_numpy(np.stack([s.picture for s in samples])).permute(0, 3, 1, 2).float() / 255
        mask = torch.from_numpy(np.stack([s.mask for s in samples]))[:, None].float() / 255
        with torch.inference_mode():
            latent = model.encode(faces)
            decoded = {other: model.decode(latent, other) for other in model.config.persons}
        rebuilt = decoded[name]
        likeness, inside, found = ssim_map(rebuilt.picture, faces), mask > 0.5, rebuilt.mask > 0.5
        overlap = (inside & found).sum() / (inside | found).sum()
        print(
            f"{name}: {len(samples)} faces  SSIM of the face {weighted_mean(likeness, inside.float()):.3f}"
            f"  of the whole crop {likeness.mean():.3f}  mask IoU {overlap:.3f}"
        )
        shown = slice(None, None, max(1, len(samples) // 8))
        rows.append((f"{name}, held out", pictures(faces[shown])))
        rows += [(f"{name} as {other}", pictures(d.picture[shown])) for other, d in decoded.items()]
    write_picture(arguments.sheet, sheet(rows, side=160))
    print(f"look at {arguments.sheet}")


def pictures(batch: torch.Tensor) -> list[np.ndarray]:
    """RGB uint8 pictures of a float batch."""
    return list((batch * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


if __name__ == "__main__":
    main()
