"""How well a model rebuilds faces that it was not trained on.

    uv run python tests/benchmarks/held_out.py MODEL a=FACESET b=FACESET

For each person: structural similarity (SSIM) of the rebuilt crop with the true one, at the coarse size, over the face
mask (what a swap pastes) and over the whole crop; that of the luminance of the large picture, with the detail stage,
and how much fine detail it has by the true one; and the mask's intersection over union. For each swap, which has
no true picture: whether its mouth and eyes open where the source's do, whose face it is, and whose colour it has. And a
sheet of pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from faceswap.media.pictures import write_picture
from faceswap.model.folder import load_model
from faceswap.model.swap_model import SwapModel
from faceswap.quality.reconstruction import CropSwap, Reconstruction, crop_swaps, pictures_of, rebuild
from faceswap.training.bank import FacePlanes
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.training.data import load_faces

Rows = list[tuple[str, list[np.ndarray]]]


def load(facesets: Mapping[str, Path], side: int) -> dict[str, FacePlanes]:
    """By person: all kept faces at `side` px."""
    return {person: run(load_faces(folder, side)) for person, folder in facesets.items()}


def measure(model: SwapModel, faces: Mapping[str, FacePlanes]) -> dict[str, Reconstruction]:
    """By person; `faces` have the size of the model's large picture."""
    side = model.config.output_size
    return {person: rebuild(model, theirs, person).mean(side) for person, theirs in faces.items()}


def measure_swaps(model: SwapModel, faces: Mapping[str, FacePlanes]) -> dict[tuple[str, str], CropSwap]:
    """By who is shown and whom they are decoded as; `faces` are as for `measure`. Of the coarse pictures."""
    return crop_swaps(model, faces)


@torch.inference_mode()
def rows(model: SwapModel, faces: Mapping[str, FacePlanes], columns: int = 8) -> Rows:
    """Each person's faces, and what each decoder makes of them."""
    shown: Rows = []
    for person, theirs in faces.items():
        some = theirs[torch.linspace(0, len(theirs) - 1, columns).long(), :3].float() / 255
        some = some.to(next(model.parameters()).device)
        latent = model.encode(functional.adaptive_avg_pool2d(some, model.config.size))
        shown.append((f"{person}, held out", pictures_of(some)))
        shown += [(f"{person} as {o}", pictures_of(model.render(latent, o).fine.picture)) for o in model.config.persons]
    return shown


def named(texts: list[str]) -> dict[str, Path]:
    """NAME=FACESET by name."""
    return {name: Path(folder) for name, _, folder in (text.partition("=") for text in texts)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("facesets", nargs="+", metavar="NAME=FACESET")
    parser.add_argument("--sheet", type=Path, default=Path("held_out.png"))
    arguments = parser.parse_args()
    model = load_model(arguments.model, torch.device("cpu"))
    faces = load(named(arguments.facesets), model.config.output_size)
    for person, quality in measure(model, faces).items():
        print(
            f"{person}: {len(faces[person])} faces  SSIM of the face {quality.face:.3f}"
            f"  of the whole crop {quality.crop:.3f}  of the large face {quality.large:.3f}, which has"
            f" {quality.detail:.2f} of the fine detail  mask IoU {quality.overlap:.3f}"
        )
    for (source, target), swapped in measure_swaps(model, faces).items():
        print(
            f"{source} as {target}: mouth follows with r {swapped.mouth:.2f}, eyes {swapped.eyes:.2f}"
            f"  distance from {target} {swapped.to_target:.2f}, from {source} {swapped.to_source:.2f}"
            f"  colour {swapped.colour:.1f} from {target}'s"
        )
    write_picture(arguments.sheet, sheet(rows(model, faces), side=256))
    print(f"look at {arguments.sheet}")


if __name__ == "__main__":
    main()
