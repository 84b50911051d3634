"""How much sooner a long video is done in segments: by one process, and by so many side by side, in the same run.

    uv run python tests/benchmarks/segments.py MODEL CLIP [--frames 1500] [--segments 2] [--rounds 1]

CLIP is repeated until it has so many frames, and swapped with MODEL as person b: with one process that has one core,
and in segments with one core for each; each time looking for the faces first, then with faces known. All start cold:
what they load is in the seconds. With GPUs (`--device auto`) a process has the first one, and the segments have all.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap.types import Picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--segments", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    for _ in range(arguments.rounds):
        with TemporaryDirectory() as name:
            folder = Path(name)
            film = folder / "film.mp4"
            write_clip(film, islice(repeated(arguments.clip), arguments.frames), Fraction(25))

            for what in ("looking for faces", "faces known"):
                one, many = (
                    seconds(film, arguments.model, folder / str(count), count, arguments.device)
                    for count in (1, arguments.segments)
                )
                rates = ", ".join(f"{arguments.frames / taken:.1f}" for taken in (one, many))
                print(f"{what}: {one:.1f} s and {many:.1f} s ({rates} frames/s), {one / many:.2f} times as fast")

            films = (read_frames(folder / str(count) / "out.mkv") for count in (1, arguments.segments))
            worst = max(int(np.abs(a.image.astype(int) - b.image).max()) for a, b in zip(*films, strict=True))
            print(f"largest difference between the two films: {worst} levels")


def repeated(clip: Path) -> Iterator[Picture]:
    """The clip's pictures, again and again."""
    while True:
        yield from (frame.image for frame in read_frames(clip))


def seconds(film: Path, model: Path, folder: Path, segments: int, device: str) -> float:
    """How long the command takes, with a core for each segment."""
    folder.mkdir(exist_ok=True)
    words = ["swap", film, "--model", model, "--out", folder / "out.mkv", "--codec", "ffv1", "--to", "b"]
    words += ["--device", device, "--segments", segments, "--overwrite", "--json"]
    cores = sorted(os.sched_getaffinity(0))[:segments] if device == "cpu" else os.sched_getaffinity(0)

    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "faceswap_cli", *map(str, words)],
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
