"""How well the marks hold, how often they are seen where there are none, and what they cost.

    uv run python tests/benchmarks/provenance.py CLIP... [--unmarked DIR] [--model MODEL]

Each clip is marked and then treated as such files are: encoded again, resized, cropped. `--unmarked` is a folder of
pictures and videos without the mark. `--model` measures what marking and signing add to a swap of the first clip.
"""

from __future__ import annotations

import argparse
import math
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from faceswap.media.codecs import Encoding
from faceswap.media.kinds import is_picture, is_video
from faceswap.media.pictures import read_picture
from faceswap.media.video import read_frames, sample_frames
from faceswap.media.video_write import write_clip
from faceswap.provenance.seal import Sealer
from faceswap.provenance.watermark import Mark, detect_watermark, watermarked
from faceswap.types import Picture
from faceswap_pipelines.common.cpu import keep_freed_memory
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.swapping.job import SwapJob
from faceswap_pipelines.swapping.run import swap

FRAMES = 100
SAMPLED = 32

Change = Callable[[Picture], Picture]


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--unmarked", type=Path)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {platform.processor() or platform.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        holds(arguments.clips, Path(folder) / "clip.mp4")
        if arguments.unmarked:
            mistakes(arguments.unmarked)
        if arguments.model:
            costs(arguments.clips[0], arguments.model, Path(folder))


def resized(image: Picture) -> Picture:
    return cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)


def cropped(image: Picture) -> Picture:
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[height // 20 : height - height // 20, width // 20 : width - width // 20])


TREATMENTS: dict[str, tuple[tuple[Change, ...], int]] = {
    "CRF 18": ((), 18),
    "CRF 23": ((), 23),
    "CRF 28": ((), 28),
    "75 %, CRF 23": ((resized,), 23),
    "75 %, CRF 28": ((resized,), 28),
    "less 10 %, CRF 28": ((cropped,), 28),
    "both, CRF 28": ((cropped, resized), 28),
}


def holds(clips: list[Path], place: Path) -> None:
    """A table of log10 of the chance of a mistake; below -6 counts as found."""
    print("\n| clip | PSNR, dB | as written | one frame | " + " | ".join(TREATMENTS) + " |")
    print("|---" * (len(TREATMENTS) + 4) + "|")
    for clip in clips:
        plain = [frame.image for frame in read_frames(clip, 0, FRAMES)]
        frames = [watermarked(image) for image in plain]
        errors = [np.mean((a.astype(np.float32) - b) ** 2) for a, b in zip(plain, frames, strict=True)]
        write_clip(place, frames, Fraction(25))
        written = [frame.image for frame in read_frames(place)]
        found = [detect_watermark(written[:: FRAMES // SAMPLED]), detect_watermark(written[:1])]
        for changes, crf in TREATMENTS.values():
            found.append(treated(written, changes, crf, place))
        quality = 10 * math.log10(255**2 / float(np.mean(errors)))
        print(f"| {clip.stem} | {quality:.1f} | {' | '.join(map(exponent, found))} |", flush=True)


def treated(frames: list[Picture], changes: tuple[Change, ...], crf: int, place: Path) -> Mark:
    for change in changes:
        frames = [change(frame) for frame in frames]
    write_clip(place, frames, Fraction(25), Encoding(crf=crf, preset="medium"))
    return detect_watermark(frame.image for frame in sample_frames(place, SAMPLED))


def exponent(mark: Mark) -> str:
    return f"{math.log10(max(mark.chance, 1e-300)):.0f}{'' if mark.found else ' (lost)'}"


def mistakes(folder: Path) -> None:
    """How many files without the mark are taken for ones with it, and the most suspicious of them."""
    files = [path for path in sorted(folder.rglob("*")) if is_picture(path) or is_video(path)]
    chances = []
    for file in files:
        images = [read_picture(file)] if is_picture(file) else [frame.image for frame in sample_frames(file, SAMPLED)]
        chances.append(detect_watermark(images).chance)
    print(f"\n{sum(chance < 1e-6 for chance in chances)} of {len(files)} unmarked files were taken for marked ones;")
    print(f"the smallest chance of a mistake that any showed was {min(chances):.2g}")


def costs(clip: Path, model: Path, folder: Path) -> None:
    """Seconds of marking, of what it adds to encoding, and of signing, against those of the whole swap; and bytes."""
    start = time.perf_counter()
    result = run(swap(SwapJob(video=clip, model=model, out=folder / "out.mp4", device="cpu")))
    whole = time.perf_counter() - start
    images = [frame.image for frame in read_frames(folder / "out.mp4", 0, FRAMES)]
    start = time.perf_counter()
    for image in images:
        watermarked(image)
    marking = (time.perf_counter() - start) / len(images)
    shutil.copy(folder / "out.mp4", folder / "copy.mp4")
    seal = Sealer(clip, None)
    start = time.perf_counter()
    seal(folder / "copy.mp4", "copy.mp4")
    signing = time.perf_counter() - start
    plain = [frame.image for frame in read_frames(clip, 0, FRAMES)]
    with_mark = [watermarked(image) for image in plain]
    times: dict[bool, list[float]] = {False: [], True: []}
    sizes: dict[bool, int] = {}
    for _ in range(4):
        for is_marked, frames in ((False, plain), (True, with_mark)):
            start = time.perf_counter()
            write_clip(folder / "trial.mp4", frames, Fraction(25))
            times[is_marked].append((time.perf_counter() - start) / len(frames))
            sizes[is_marked] = (folder / "trial.mp4").stat().st_size
    encoding = min(times[True]) - min(times[False])
    height, width = images[0].shape[:2]
    share = ((marking + encoding) * result.frames + signing) / whole
    print(f"\n{width}x{height}: swapping took {1000 * whole / result.frames:.1f} ms a frame; of that marking")
    print(f"{1000 * marking:.2f}, and encoding more {1000 * encoding:.2f}; signing {1000 * signing:.0f} ms in all;")
    print(f"together {share:.1%}; the file is {sizes[True] / sizes[False] - 1:.0%} larger")


if __name__ == "__main__":
    main()
