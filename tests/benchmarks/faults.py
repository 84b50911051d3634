"""Commands that are disturbed while they work, and run again: which come to the end that they had come to undisturbed.

    uv run python tests/benchmarks/faults.py --runs 25 [--only kill,disk] [--commands train,swap] [--seed 0]

Extracting, training, swapping and a batch of two swaps, of two drawn actors, are each killed at a random moment; get a
disk that is too small; lose a file that they read; find their databases locked; have the clock set back by a day after
a kill; and may take only so much memory. Right is success, or the program's own error; and that the same command, run
again without the fault, ends with the same faces, weights and frames, byte for byte, and with the same files beside
them. Wrong is a traceback, another exit code, ten minutes, another end, or leftovers.

Disks need the right to mount (root); without it they are passed over. Linux only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded

import cv2
import torch

from faceswap.errors import FaceswapError
from faceswap.faces.faceset import Faceset
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap_cli.main import main as faceswap
from faceswap_pipelines.demo.actors import LEADS, frames

_SECONDS, _STEPS, _FRAMES, _SIDE = 600.0, 40, 144, 256
_SOUND_EXITS = {0, 3, 130}
_STEP = re.compile(r"\d{8}")
_KINDS = ("kill", "disk", "vanish", "lock", "clock", "memory")
_PLAN = """
[[job]]
kind = "swap"
inputs = ["{films}/*.mp4"]
model = "{model}"
out = "{out}/{{stem}}.mkv"
frames = "0:24"
settings = {{ codec = "ffv1" }}
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process has ended."""

    code: int | None
    """None: it stood still, and was killed."""
    said: str

    @property
    def wrong(self) -> str:
        """What is wrong with that; "" if nothing."""
        if self.code is None:
            return f"stood still for {_SECONDS:.0f} s: {self.said.strip()}"
        if "Traceback" in self.said:
            return "a traceback: " + self.said.strip().splitlines()[-1][:200]
        return "" if self.code in _SOUND_EXITS else f"exit code {self.code}: {self.said.strip()[-200:]}"


@dataclass(frozen=True, kw_only=True)
class Work:
    """A command that is disturbed."""

    words: Callable[[Path, Path], list[object]]
    """Of a folder of inputs, and of one for what it makes."""
    reads: tuple[str, ...]
    """Inputs that may vanish."""
    digest: Callable[[Path], list[str]]
    """What it has made."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="of each fault and command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(_KINDS))
    parser.add_argument("--commands", default=",".join(WORKS))
    arguments = parser.parse_args()

    kinds = [kind for kind in arguments.only.split(",") if kind != "disk" or os.geteuid() == 0]
    for room in ("batching", "extraction", "swapping", "training"):  # loaded once, here, not by each command
        import_module(f"faceswap_pipelines.{room}.run")
    torch.set_num_threads(1)  # processes are forked: threads would not come along
    cv2.setNumThreads(1)
    print("| fault | command | the same end | wrong |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = str(Path(folder) / "keys")
        inputs = prepared(Path(folder) / "inputs")
        for command in arguments.commands.split(","):
            trial = Trial(command, inputs, Path(folder) / command)
            for kind in kinds:
                rng = random.Random(f"{arguments.seed} {kind} {command}")
                found = []
                for number in range(1, arguments.runs + 1):
                    wrong = trial.disturbed(kind, rng)
                    print(f"{kind} {command} {number}: {wrong or 'the same end'}", file=sys.stderr, flush=True)
                    found += [wrong] if wrong else []
                print(f"| {kind} | {command} | {arguments.runs - len(found)} | {len(found)} |", *found, flush=True)


def prepared(inputs: Path) -> Path:
    """Films of the two actors, their facesets, and a model that has hardly begun to learn."""
    (inputs / "films").mkdir(parents=True)
    for person, actor in zip("ab", LEADS, strict=True):
        drawn = [rendering.image for rendering in frames(actor, _FRAMES // 3, _SIDE, seed=ord(person))]
        write_clip(inputs / "films" / f"{person}.mp4", drawn + drawn[::-1] + drawn, Fraction(25))
        sound("extract", inputs / "films" / f"{person}.mp4", "--out", inputs / person, "--frames", "0:48", *_CPU)
    sound(*_training(inputs, inputs / "model"))
    return inputs


def _training(inputs: Path, model: Path) -> list[object]:
    persons = [word for name in "ab" for word in (f"--{name}", inputs / name, "--consent", f"{name}=drawn")]
    small = ("--from-scratch", "--size", 64, "--batch", 4, "--set", "detail=0")
    return ["train", *persons, "--model", model, *small, "--steps", _STEPS, "--save-every", 1, *_CPU]


def _batch(inputs: Path, out: Path) -> list[object]:
    plan = inputs / "plan.toml"
    plan.write_text(_PLAN.format(films=inputs / "films", model=inputs / "model", out=out))
    return ["batch", plan, *_CPU]


def _faces(out: Path) -> list[str]:
    with Faceset.open(out / "faces") as faceset:
        records = [(record.frame, record.reason, faceset.path(record).read_bytes()) for record in faceset.records()]
    return [f"{frame} {reason} {hashlib.sha256(crop).hexdigest()}" for frame, reason, crop in records]


def _weights(out: Path) -> list[str]:
    [newest] = (out / "model" / "checkpoint").glob(f"{_STEPS:08d}")
    return [hashlib.sha256((newest / "weights.safetensors").read_bytes()).hexdigest()]


def _frames(out: Path) -> list[str]:
    digests = []
    for film in sorted(out.glob("*.mkv")):
        pictures = hashlib.sha256()
        for frame in read_frames(film):
            pictures.update(frame.image.tobytes())
        digests.append(f"{film.name} {pictures.hexdigest()}")
    return digests


_CPU = ("--device", "cpu")
WORKS = {
    "extract": Work(
        words=lambda inputs, out: ["extract", inputs / "films/a.mp4", "--out", out / "faces", *_CPU],
        reads=("films/a.mp4",),
        digest=_faces,
    ),
    "train": Work(
        words=lambda inputs, out: _training(inputs, out / "model"),
        reads=("a", "b/faceset.db", "a/faces"),
        digest=_weights,
    ),
    "swap": Work(
        words=lambda inputs, out: [
            *("swap", inputs / "films/a.mp4", "--model", inputs / "model", "--out", out / "a.mkv"),
            *("--codec", "ffv1", *_CPU),
        ],
        reads=("films/a.mp4", "model", "model/checkpoint"),
        digest=_frames,
    ),
    "batch": Work(words=_batch, reads=("films/a.mp4", "model/checkpoint"), digest=_frames),
}


class Trial:
    """One command, its inputs, and what it makes undisturbed."""

    def __init__(self, command: str, inputs: Path, place: Path) -> None:
        self._work, self._inputs, self._place = WORKS[command], inputs, place
        with self._fresh() as (own, out):
            start = time.monotonic()
            sound(*self._work.words(own, out))
            self._lasts = time.monotonic() - start
            self._end, self._files = self._work.digest(out), _files(out)
            self._bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())

    def disturbed(self, kind: str, rng: random.Random) -> str:
        """What is wrong after a fault of this kind; "" if nothing."""
        with self._fresh() as (own, out):
            disk = kind == "disk"
            if disk:
                _mount(out, round(self._bytes * rng.uniform(0.05, 0.95)))
            try:
                ended = self._with_fault(kind, rng, own, out)
                if disk:
                    subprocess.run(["mount", "-o", "remount,size=512m", out], check=True)
                if ended and ended.wrong:
                    return ended.wrong
                if ended is None and not self._differs(out):  # killed when all was done: a training would go on
                    return ""
                if ended is None or ended.code != 0:
                    again = self._again(own, out, is_late=kind == "clock")
                    if again.wrong or again.code != 0:
                        return f"run again: {again.wrong or again.said.strip()[-300:]}"
                return self._differs(out)
            finally:
                if disk:
                    subprocess.run(["umount", "-l", out], check=True)

    def _with_fault(self, kind: str, rng: random.Random, own: Path, out: Path) -> Ended | None:
        """Run the command with it; how it ended, or None where it was killed."""
        before = {"memory": lambda: _limit_memory(rng.randrange(20, 600) << 20)}.get(kind)
        process = started(self._work.words(own, out), out.parent / "said.txt", before)
        moment = rng.uniform(0, self._lasts)

        if kind in ("kill", "clock"):
            time.sleep(moment)
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            result = wait_for(process, out.parent / "said.txt")
            return None if result.code == -signal.SIGKILL else result
        if kind == "vanish":
            time.sleep(moment)
            path = own / rng.choice(self._work.reads)
            path.rename(own.parent / "vanished")
            result = wait_for(process, out.parent / "said.txt")
            (own.parent / "vanished").rename(path)
            return result
        if kind == "lock":
            _lock_databases(out, moment, rng.uniform(0.5, 8))
        return wait_for(process, out.parent / "said.txt")

    def _again(self, own: Path, out: Path, is_late: bool) -> Ended:
        """The same command without the fault."""
        again = started(self._work.words(own, out), out.parent / "said.txt", _set_back if is_late else None)
        return wait_for(again, out.parent / "said.txt")

    def _differs(self, out: Path) -> str:
        """How what was made differs from what is made undisturbed; "" if it does not."""
        try:
            end = self._work.digest(out)
        except (FaceswapError, OSError, ValueError) as error:
            return f"no sound end: {error}"
        if end != self._end:
            return "another end"
        left = _files(out) ^ self._files
        return f"other files: {sorted(left)}" if left else ""

    @contextmanager
    def _fresh(self) -> Iterator[tuple[Path, Path]]:
        """Inputs of its own, in a place that has the same name each time, and an empty folder."""
        shutil.copytree(self._inputs, self._place / "inputs")
        (self._place / "out").mkdir()
        try:
            yield self._place / "inputs", self._place / "out"
        finally:
            shutil.rmtree(self._place)


def sound(*words: object) -> None:
    """Run a command that has to succeed."""
    with tempfile.NamedTemporaryFile() as said:
        result = wait_for(started(list(words), Path(said.name)), Path(said.name))
    if result.code != 0:
        sys.exit(f"{words[0]} fails undisturbed: {result.said}")


def started(words: list[object], said: Path, before: Callable[[], None] | None = None) -> int:
    """A process, the leader of its group, that runs a command; what it prints goes to the file `said`."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process

    os.setsid()
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code: object = 1
    try:
        sys.argv = ["faceswap", *map(str, words), "--json"]
        if before:
            before()
        faceswap()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 1)


def wait_for(process: int, said: Path) -> Ended:
    """Wait for it."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return Ended(code=os.waitstatus_to_exitcode(status), said=said.read_text(errors="replace"))
        time.sleep(0.02)
    os.killpg(process, signal.SIGUSR1)  # each says where its threads are
    time.sleep(1)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return Ended(code=None, said=said.read_text(errors="replace"))


def _files(out: Path) -> set[str]:
    """What lies there; after which steps a training was saved depends on how fast it was."""
    return {_STEP.sub("#", str(path.relative_to(out))) for path in out.rglob("*")}


def _mount(place: Path, size: int) -> None:
    """A disk of `size` bytes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={max(size, 65_536)}", "tmpfs", place], check=True)


def _lock_databases(out: Path, moment: float, seconds: float) -> None:
    """From a moment on, for some seconds, nobody else can write to the databases that are there then."""
    time.sleep(moment)
    held = []
    for path in out.rglob("*.db"):
        connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        with suppress(sqlite3.Error):
            connection.execute("BEGIN EXCLUSIVE")
        held.append(connection)
    time.sleep(seconds if held else 0)
    for connection in held:
        connection.close()


def _limit_memory(more: int) -> None:
    """So many bytes more than this process has now."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        [now] = (int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (now + more, now + more))


def _set_back() -> None:
    """The clock, by a day."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() - 86_400
    time.time_ns = lambda: real_ns() - 86_400 * 10**9


if __name__ == "__main__":
    main()
