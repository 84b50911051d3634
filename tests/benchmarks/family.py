"""Every member of the family of autoencoders, trained for the same number of steps on the same faces.

    uv run python tests/benchmarks/family.py --train a=FACESET b=FACESET --test a=FACESET b=FACESET --out DIR

All begin with random weights: base weights fit only some of them. Prints a table: SSIM of held-out faces and mask
overlap of each person; of the swaps, how well mouths follow and whose faces they are; and what the latent says of
itself. DIR holds the models, and a sheet of held-out faces of each member.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from held_out import load, measure, measure_swaps, named, rows

from faceswap.media.pictures import write_picture
from faceswap.model.folder import load_model
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.training.job import TrainJob
from faceswap_pipelines.training.run import train

MEMBERS: dict[str, dict[str, Any]] = {
    "denoising (the default)": {},
    "plain: neither damage nor warp": {"corruption": 0.0, "warp": 0.0},
    "warp alone": {"corruption": 0.0},
    "masking noise alone": {"corruptions": ["masking"], "corruption": 1.0},
    "MSE": {"pixel_loss": "mse", "structure_weight": 0.0},
    "BCE": {"pixel_loss": "bce", "structure_weight": 0.0},
    "L1 alone": {"structure_weight": 0.0},
    "sparse": {"latent": "sparse"},
    "stacked": {"stacked_steps": 60},
    "VAE": {"latent": "vae"},
    "beta-VAE, 8": {"latent": "vae", "beta": 8.0},
    "VQ-VAE": {"latent": "vq"},
    "VQ-VAE, two levels": {"latent": "vq2"},
    "conditional": {"decoder": "conditional"},
    "conditional VAE": {"latent": "vae", "decoder": "conditional"},
    "adversarial": {"adversarial": 0.02},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, metavar="NAME=FACESET")
    parser.add_argument("--test", nargs="+", required=True, metavar="NAME=FACESET")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", nargs="*", default=list(MEMBERS), choices=list(MEMBERS))
    arguments = parser.parse_args()
    test = load(named(arguments.test), 64)
    print(f"{time.strftime('%Y-%m-%d')}, {arguments.steps} steps, torch {torch.__version__}")
    persons = list(test)
    print("| member | SSIM " + " | SSIM ".join(persons) + " | mask IoU | mouth | target | source | the latent |")
    print("|---" * (len(persons) + 6) + "|")
    facesets = named(arguments.train)
    for name in arguments.only:
        folder = arguments.out / name.translate(str.maketrans(" ", "_", ",:()"))
        settings = MEMBERS[name]
        job = TrainJob(
            facesets=facesets,
            model=folder,
            steps=arguments.steps,
            from_scratch=True,
            settings={"detail": 0} | settings,  # latents are of the coarse stage
            consent=dict.fromkeys(facesets, "of the benchmark's footage"),
        )
        result = run(train(job))
        model = load_model(folder, torch.device("cpu"))
        quality = measure(model, test)
        swaps = measure_swaps(model, test).values()
        mouth, target, source = (
            sum(getattr(swap, name) for swap in swaps) / len(swaps) for name in ("mouth", "to_target", "to_source")
        )
        latent = ", ".join(f"{key} {value:.4g}" for key, value in result.latent.items())
        print(
            f"| {name} | "
            + " | ".join(f"{quality[person].face:.3f}" for person in persons)
            + f" | {min(q.overlap for q in quality.values()):.3f}"
            + f" | {mouth:.2f} | {target:.2f} | {source:.2f} | {latent} |",
            flush=True,
        )
        write_picture(folder.with_suffix(".png"), sheet(rows(model, test), side=160))


if __name__ == "__main__":
    main()
