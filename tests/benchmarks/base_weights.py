"""What base weights bring to a pair, at the same number of steps with and without.

    uv run python tests/benchmarks/base_weights.py --train a=FACESET b=FACESET --test a=FACESET b=FACESET --out DIR

Prints a table, of the coarse stage alone: SSIM of held-out faces and mask overlap of each person; of the swaps in both
directions, whether mouth and eyes follow, whose faces and whose colours they are. DIR holds the models and a sheet of
held-out faces of each. On the README's machine 277 steps of nano take half a minute, 1,110 two.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from held_out import load, measure, measure_swaps, named, rows

from faceswap.config import PRESETS
from faceswap.media.pictures import write_picture
from faceswap.model.folder import load_model
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.cpu import keep_freed_memory
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.training.job import TrainJob
from faceswap_pipelines.training.run import train

_MEASURES = ("mouth", "eyes", "to_target", "to_source", "colour")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, metavar="NAME=FACESET")
    parser.add_argument("--test", nargs="+", required=True, metavar="NAME=FACESET")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", nargs="+", type=int, default=[277, 1110])
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--latent", default="plain")
    parser.add_argument("--decoder", default="separate")
    parser.add_argument("--begin", nargs="+", choices=["random", "base"], default=["random", "base"])
    arguments = parser.parse_args()
    keep_freed_memory()
    test = load(named(arguments.test), PRESETS[arguments.preset].size)
    kind = f"{arguments.preset}_{arguments.latent}_{arguments.decoder}"
    print(f"{time.strftime('%Y-%m-%d')}, torch {torch.__version__}, {kind}")
    print("| steps | from | SSIM | mask IoU | " + " | ".join(_MEASURES) + " |")
    print("|---" * (4 + len(_MEASURES)) + "|")
    facesets = named(arguments.train)
    for steps in arguments.steps:
        for begun in arguments.begin:
            folder = arguments.out / f"{begun}_{kind}_{steps}"
            job = TrainJob(
                facesets=facesets,
                model=folder,
                preset=arguments.preset,
                steps=steps,
                from_scratch=begun == "random",
                settings={"latent": arguments.latent, "decoder": arguments.decoder, "detail": 0},
                consent=dict.fromkeys(facesets, "of the benchmark's footage"),
            )
            run(train(job))
            model = load_model(folder, torch.device("cpu"))
            quality, swaps = measure(model, test).values(), measure_swaps(model, test).values()
            found = [", ".join(f"{getattr(swap, name):.2f}" for swap in swaps) for name in _MEASURES]
            print(
                f"| {steps} | {begun} | {', '.join(f'{q.face:.3f}' for q in quality)}"
                f" | {min(q.overlap for q in quality):.3f} | {' | '.join(found)} |",
                flush=True,
            )
            write_picture(folder.with_suffix(".png"), sheet(rows(model, test), side=256))


if __name__ == "__main__":
    main()
