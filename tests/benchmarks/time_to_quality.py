"""How good held-out faces are after so many minutes, beside the published 64 px "original" network.

    uv run python tests/benchmarks/time_to_quality.py --train a=FACESET b=FACESET --test a=FACESET b=FACESET

For each budget the coarse stage of a `nano` model is trained from nothing; the baseline is trained once, for the
longest of them, on the same faces with the same warps, at its published learning rate. Both are measured on the way,
which does not count. Prints SSIM of the held-out faces (inside the face mask) and mask overlap, and draws the curves.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from held_out import load, measure, named
from original import BATCH, start, step

from faceswap.config import PRESETS, TrainConfig
from faceswap.media.pictures import write_picture
from faceswap.training.bank import Bank, FacePlanes, reduced
from faceswap.training.losses import ssim_map, weighted_mean
from faceswap.training.stages import coarse_only
from faceswap.training.state import Budget, start_training
from faceswap.training.step import train
from faceswap.visuals.charts import Curve, curves

CPU = torch.device("cpu")
SIZE = 64
EVERY = 15.0  # seconds of training between two measurements
Curves = dict[str, list[tuple[float, float]]]


def ours(train_on: Mapping[str, FacePlanes], test: Mapping[str, FacePlanes], minutes: float) -> tuple[Curves, float]:
    """SSIM by person over minutes, and the mask's overlap at the end."""
    config = TrainConfig(batch_size=8)
    banks = {p: Bank(faces, SIZE, config, i, 0, CPU) for i, (p, faces) in enumerate(train_on.items())}
    state, found, due = start_training(PRESETS["nano"], config, CPU), {p: [] for p in test}, EVERY
    for metrics in train(state, coarse_only(state.model.config, banks), Budget(seconds=minutes * 60)):
        if metrics.seconds >= due or metrics.progress >= 1:
            due += EVERY
            quality = measure(state.average, test)
            for person, said in quality.items():
                found[person].append((metrics.seconds / 60, said.face))
    for bank in banks.values():
        bank.close()
    return found, min(q.overlap for q in quality.values())


def baseline(train_on: Mapping[str, FacePlanes], test: Mapping[str, FacePlanes], minutes: float) -> Curves:
    """SSIM by person over minutes."""
    config = TrainConfig(batch_size=BATCH, corruption=0.0)
    banks = [Bank(faces, SIZE, config, i, 0, CPU) for i, faces in enumerate(train_on.values())]
    torch.manual_seed(0)
    model, optimizer = start(CPU)
    found: Curves = {person: [] for person in test}
    seconds, due, steps = 0.0, EVERY, 0
    while seconds < minutes * 60:
        before = time.perf_counter()
        batches = [bank.batch(steps) for bank in banks]
        step(model, optimizer, torch.cat([b.input for b in batches]), torch.cat([b.target for b in batches]))
        seconds, steps = seconds + time.perf_counter() - before, steps + 1
        if seconds >= due:
            due += EVERY
            for number, (person, theirs) in enumerate(test.items()):
                small = reduced(theirs, SIZE)
                true, mask = small[:, :3].float() / 255, (small[:, 3:4] > 127).float()
                with torch.inference_mode():
                    rebuilt = model.decoders[number](model.encoder(true)).sigmoid()
                found[person].append((seconds / 60, float(weighted_mean(ssim_map(rebuilt, true), mask))))
    for bank in banks:
        bank.close()
    return found


def at(curve: list[tuple[float, float]], minutes: float) -> float:
    """The last value up to a time."""
    return [value for when, value in curve if when <= minutes + EVERY / 60][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, metavar="NAME=FACESET")
    parser.add_argument("--test", nargs="+", required=True, metavar="NAME=FACESET")
    parser.add_argument("--minutes", nargs="+", type=float, default=[2, 5, 10])
    parser.add_argument("--plot", type=Path, default=Path("time_to_quality.png"))
    arguments = parser.parse_args()
    train_on = load(named(arguments.train), SIZE * 3 // 2)
    test = load(named(arguments.test), PRESETS["nano"].output_size)
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, torch {torch.__version__}, batch 8; {BATCH} for original"
    )
    print("| minutes | " + " | ".join(f"nano, SSIM of {p} | original, SSIM of {p}" for p in test) + " | mask IoU |")
    print("|---" * (2 + 2 * len(test)) + "|")
    before = baseline(train_on, test, max(arguments.minutes))
    panels = {f"SSIM of {p}, held out": [Curve("original", before[p])] for p in test}
    for minutes in arguments.minutes:
        found, overlap = ours(train_on, test, minutes)
        cells = " | ".join(f"{found[p][-1][1]:.3f} | {at(before[p], minutes):.3f}" for p in test)
        print(f"| {minutes:g} | {cells} | {overlap:.3f} |", flush=True)
        for person in test:
            panels[f"SSIM of {person}, held out"].append(Curve(f"nano, {minutes:g} minutes", found[person]))
    write_picture(arguments.plot, curves(panels, "minutes"))
    print(f"look at {arguments.plot}")


if __name__ == "__main__":
    main()
