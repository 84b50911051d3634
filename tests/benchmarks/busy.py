"""What other programs cost a training, with threads that spin while they wait for each other and with ones that sleep.

    uv run python tests/benchmarks/busy.py [--seconds 20]

Trains `nano` on random faces with all cores, on a machine as quiet as it is and beside four busy loops; prints faces/s
of both kinds of waiting (OMP_WAIT_POLICY) by turns, and the ratio.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

POLICIES = {"spin": "ACTIVE", "as torch comes": "", "sleep": "PASSIVE"}
LOOPS = 4

TRAINING = """
import sys, time, torch
from faceswap.config import PRESETS, TrainConfig
from faceswap.training.bank import Bank
from faceswap.training.stages import coarse_only
from faceswap.training.state import Budget, start_training
from faceswap.training.step import train
import dataclasses

cpu, config = torch.device("cpu"), TrainConfig(batch_size=16)
model = dataclasses.replace(PRESETS["nano"], persons=("a", "b"))
state = start_training(model, config, cpu)
faces = torch.randint(0, 255, (64, 5, 96, 96), dtype=torch.uint8)
banks = {person: Bank(faces, model.size, config, number, 0, cpu) for number, person in enumerate(model.persons)}
begun = count = 0
for number, metrics in enumerate(train(state, coarse_only(model, banks), Budget(seconds=float(sys.argv[1])))):
    if number == 2:  # the first steps prepare
        begun = time.perf_counter()
    count += 2 * config.batch_size * (number > 2)
print(count / (time.perf_counter() - begun))
for bank in banks.values():
    bank.close()
"""


def faces_per_second(policy: str, seconds: float) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": policy} if policy else {}
    words = [sys.executable, "-c", TRAINING, str(seconds)]
    return float(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    seconds = parser.parse_args().seconds
    for title, count in (("as it is", 0), (f"beside {LOOPS} busy loops", LOOPS)):
        with busy_loops(count):
            speeds = {name: faces_per_second(policy, seconds) for name, policy in POLICIES.items()}
        figures = ", ".join(f"{name} {speed:.0f}" for name, speed in speeds.items())
        ratio = speeds["sleep"] / max(1e-9, speeds["as torch comes"])
        print(f"{title}: faces/s: {figures}; sleep by torch's own {ratio:.2f}")


if __name__ == "__main__":
    main()
