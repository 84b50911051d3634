"""How fast training is, beside the published 64 px "original" network in the same run, and what it takes.

    uv run python tests/benchmarks/training_speed.py [--device cuda]

The baseline (original.py) trains in float32 with Adam and L1, fed with ready tensors. Ours is measured whole:
corruption, geometry, losses, optimizer, averaging. Each row runs in a process of its own, whose memory it tells.

Share of the matrix rate: the multiplications of a step, counted by torch, by those that the device does in a product of
two 2048 x 2048 matrices in the same time, in the numbers that training uses there: bfloat16 where the hardware has it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import original
import torch
from torch.utils.flop_counter import FlopCounterMode

from faceswap.config import PRESETS, TrainConfig
from faceswap.model.folder import create_model_folder
from faceswap.precision import multiplies_in_bfloat16
from faceswap.training.bank import Bank
from faceswap.training.checkpoint import save_checkpoint
from faceswap.training.close_ups import CloseUps
from faceswap.training.stages import COARSE, DETAIL, KINDS, Stage
from faceswap.training.state import Budget, TrainState, start_training
from faceswap.training.step import train, train_step
from faceswap_pipelines.common.cpu import keep_freed_memory

_WARM_UP = 5  # steps that do not count
_FACES = 200
_SIDE = 2048


def row(preset: str, stage: str, batch: int, device: torch.device, seconds: float) -> dict[str, float]:
    """Figures of a stage of one preset, or of the baseline, at `batch` faces of each person."""
    keep_freed_memory()  # as the program does
    if preset == "original":
        return _baseline(batch, device, seconds)
    config, settings = PRESETS[preset], TrainConfig(batch_size=batch)
    side = (config.size if stage == COARSE else config.output_size) * 3 // 2
    faces = torch.randint(0, 255, (_FACES, 5, side, side), dtype=torch.uint8)
    banks: dict[str, Bank | CloseUps] = {
        p: Bank(faces, config.size, settings, i, 0, device)
        if stage == COARSE
        else CloseUps(faces, config, settings, i, device)
        for i, p in enumerate(config.persons)
    }
    uncompiled = start_training(config, settings, device, stage=stage)
    operations = _operations(uncompiled, banks)
    state = start_training(config, settings, device, compiled=device.type == "cuda", stage=stage)
    state.step = uncompiled.step  # banks are asked for one step after the other
    steps, start, waited, took = -_WARM_UP, 0.0, 0.0, 0.0
    stages = [Stage(kind=KINDS[stage], banks=banks)]
    for metrics in train(state, stages, Budget(steps=10**9, start_step=state.step)):
        steps += 1
        if steps == 0:
            start, waited = _clock(device), metrics.waited
        if steps > 0 and steps % 4 == 0 and (took := _clock(device) - start) >= seconds:
            break
    for bank in banks.values():
        bank.close()
    return {
        "rate": steps * len(banks) * batch / took,
        "share": operations * steps / took / matrix_rate(device),
        "waited": (metrics.waited - waited) / took,
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "memory": _memory(device),
        "checkpoint": _checkpoint(state),
    }


def _baseline(batch: int, device: torch.device, seconds: float) -> dict[str, float]:
    model, optimizer = original.start(device)
    faces = torch.rand(2 * batch, 3, 64, 64, device=device)
    with FlopCounterMode(display=False) as counter:
        original.step(model, optimizer, faces, faces)
    steps, start = 0, _clock(device)
    while (took := _clock(device) - start) < seconds:
        original.step(model, optimizer, faces, faces)
        steps += 1
    parameters = sum(p.numel() for p in model.parameters())
    return {
        "rate": steps * len(faces) / took,
        "share": counter.get_total_flops() * steps / took / matrix_rate(device),
        "waited": 0.0,
        "parameters": parameters,
        "memory": _memory(device),
        "checkpoint": 12.0 * parameters,  # weights and two moments in float32
    }


def _operations(state: TrainState, banks: Mapping[str, Bank | CloseUps]) -> float:
    """Floating-point operations of a step's matrix products and convolutions, there and back."""
    with FlopCounterMode(display=False) as counter:
        train_step(state, {p: bank.batch(0) for p, bank in banks.items()}, 0.0)
    return float(counter.get_total_flops())


def matrix_rate(device: torch.device) -> float:
    """Operations a second in products of square matrices, the best of some."""
    kind = torch.bfloat16 if multiplies_in_bfloat16(device) else torch.float32
    one, other = (torch.rand(_SIDE, _SIDE, device=device).to(kind) for _ in range(2))
    best = 0.0
    for _ in range(5):
        start = _clock(device)
        for _ in range(4):
            one @ other
        best = max(best, 4 * 2 * _SIDE**3 / (_clock(device) - start))
    return best


def _memory(device: torch.device) -> float:
    """Bytes at the most: of the device, or of the whole process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_reserved(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _checkpoint(state: TrainState) -> float:
    """Bytes on disk of all that it takes to go on."""
    with tempfile.TemporaryDirectory() as folder:
        create_model_folder(Path(folder), state.model.config, state.config)
        saved = save_checkpoint(Path(folder), state, Budget(steps=1))
        return float(sum(file.stat().st_size for file in saved.iterdir()))


def _clock(device: torch.device) -> float:
    """Seconds, with all work on the device done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--presets", nargs="*", default=["original", *PRESETS])
    parser.add_argument("--batches", nargs="*", type=int, default=[16])
    parser.add_argument("--stages", nargs="*", default=[COARSE, DETAIL])
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.row:
        (preset,), (stage,), (batch,) = arguments.presets, arguments.stages, arguments.batches
        print(json.dumps(row(preset, stage, batch, device, arguments.seconds)))
        return
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else f"{os.cpu_count()} cores {platform.machine()}"
    kind = "bfloat16" if multiplies_in_bfloat16(device) else "float32"
    rate = f"{kind}: {matrix_rate(device) / 1e9:.0f} GFLOP/s"
    print(f"{time.strftime('%Y-%m-%d')}, {name}, torch {torch.__version__}, {rate}")
    titles = "faces/s", "by original's", "of matrix rate", "waited", "parameters", "memory", "checkpoint"
    print(f"| network | stage | batch | {' | '.join(titles)} |")
    print("|---" * 10 + "|")
    base = 0.0
    for preset in arguments.presets:
        batches, stages = arguments.batches, arguments.stages
        if preset == "original":
            batches, stages = [original.BATCH], ["its only one"]
        for stage, batch in product(stages, batches):
            words = ["--presets", preset, "--stages", stage, "--batches", str(batch), "--device", arguments.device]
            words += ["--seconds", str(arguments.seconds), "--row"]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            said = json.loads(done.stdout)
            base = base or said["rate"]
            print(
                f"| {preset} | {stage} | 2 x {batch} | {said['rate']:.1f} | {said['rate'] / base:.1f} x"
                f" | {said['share']:.0%} | {said['waited']:.1%} | {said['parameters'] / 1e6:.1f} M"
                f" | {said['memory'] / 2**30:.1f} GiB | {said['checkpoint'] / 1e6:.0f} MB |",
                flush=True,
            )


if __name__ == "__main__":
    main()
