"""How much memory extracting and swapping take at their peak, from 512 px to 8K.

    uv run python tests/benchmarks/memory.py alice.mp4 --model models/pair

The video's first frames, enlarged so that they fill frames of each size, go through the two commands; the kernel says
how much the largest of their processes held. How many cores there are matters: encoders keep frames for each thread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from record import Table, add_record_option, record

from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap.types import Picture

_SIZES = {"512": (512, 512), "1080p": (1920, 1080), "4K": (3840, 2160), "8K": (7680, 4320)}
_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--sizes", default=",".join(_SIZES))
    add_record_option(parser)
    options = parser.parse_args()

    rows = []
    for name in options.sizes.split(","):
        width, height = _SIZES[name]
        with tempfile.TemporaryDirectory() as folder:
            clip = Path(folder) / "clip.mp4"
            frames = read_frames(options.video, 0, options.frames)
            write_clip(clip, (filling(frame.image, width, height) for frame in frames), Fraction(25))
            extract = measured("extract", clip, "--out", Path(folder) / "faces")
            swap = measured("swap", clip, "--model", options.model, "--out", Path(folder) / "swapped.mp4")
        rows.append([f"{width} x {height}", *extract, *swap])
        print(rows[-1], flush=True)

    table = Table({"": "", "extract, GB": ".1f", "s": ".0f", "swap, GB": ".1f", "swap, s": ".0f"}, rows)
    print(table)
    record(options.record, [table])


def filling(image: Picture, width: int, height: int) -> Picture:
    """The picture enlarged and cut so that it fills `width` x `height` pixels."""
    scale = max(width / image.shape[1], height / image.shape[0])
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width]).astype(np.uint8, copy=False)


def measured(*words: object) -> tuple[float, float]:
    """What a command took: GB at its peak, seconds."""
    start = time.monotonic()
    command = [sys.executable, "-m", "faceswap_cli", *map(str, words), "--json"]
    done = subprocess.run([sys.executable, "-c", _MEASURE, *command], stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout) * 1024 / 1e9, time.monotonic() - start


if __name__ == "__main__":
    main()
