"""How fast faces are extracted, and how still they stand, beside MTCNN on every frame of the same video.

    uv run python tests/benchmarks/extraction.py [VIDEO ...] [--frames 400]

Without a video, an actor is filmed. The baseline detects faces in every frame, eight at a time, and does nothing else;
its crops follow MTCNN's five points. Ours is the whole of `faceswap extract`: finding, following, cutting, judging,
writing. Shaking is the root mean square of the second difference of the crop's corners, in pixels of a 512 px crop:
what is left of it in a smooth movement is the movement. Lag is where our corners agree best with the detector's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from faceswap.faces.detect import MTCNNDetector
from faceswap.faces.faceset import Faceset
from faceswap.faces.landmarks import five_points, mean_mesh
from faceswap.geometry import Similarity
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap.types import Frame
from faceswap_pipelines.actors import LEADS, frames
from faceswap_pipelines.extract import ExtractJob, extract
from faceswap_pipelines.job import run
from faceswap_pipelines.processor import keep_freed_memory
from faceswap_pipelines.stages import ahead, batched

_SIDE = 512
_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]) * _SIDE


def corners(to_crop: Similarity) -> np.ndarray:
    """Of the crop, in units of its own pixels, where they lie in the frame."""
    scale = to_crop.scale
    return to_crop.inverse().apply(_CORNERS) * scale


def shaking(track: np.ndarray) -> float:
    return float(np.sqrt((np.diff(track, 2, axis=0) ** 2).sum(axis=2).mean()))


def best_lag(ours: np.ndarray, theirs: np.ndarray, reach: int = 6) -> int:
    """By how many frames `ours` has to be moved to agree best with `theirs`."""
    inner = slice(reach, len(ours) - reach)
    return min(range(-reach, reach + 1), key=lambda lag: float(np.abs(np.roll(ours, -lag, 0) - theirs)[inner].mean()))


def every_frame(video: Path, count: int, detector: MTCNNDetector) -> tuple[float, dict[int, np.ndarray]]:
    """Frames a second of detection alone, and the corners of each frame's crop."""
    template = five_points(mean_mesh()) * (0.2747 * _SIDE) + [_SIDE / 2, 0.42 * _SIDE]
    pictures: Iterator[Frame] = ahead(islice(read_frames(video), count))
    found, start = {}, time.monotonic()
    for some in batched(pictures, 8):
        for frame, faces in zip(some, detector.detect([f.image for f in some]), strict=True):
            if faces:
                found[frame.index] = corners(Similarity.fit(faces[0].landmarks, template))
    return count / (time.monotonic() - start), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=400)
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        videos = options.videos
        if not videos:
            videos = [Path(folder) / "actor.mp4"]
            write_clip(videos[0], (r.image for r in frames(LEADS[0], options.frames, 384, seed=0)), Fraction(25))
        detector = MTCNNDetector()
        for number, video in enumerate(videos):
            count = sum(1 for _ in islice(read_frames(video), options.frames))
            base_speed, theirs = every_frame(video, count, detector)
            faceset = Path(folder) / f"faces{number}"
            result = run(extract(ExtractJob((video,), faceset, frames=(0, count), device="cpu")))
            with Faceset.open(faceset) as opened:
                ours = {r.frame: corners(r.to_crop) * (_SIDE / opened.crop_size) for r in opened.records(True)}
            both = sorted(ours.keys() & theirs.keys())
            a, b = (np.array([track[i] for i in both]) for track in (ours, theirs))
            print(
                f"{video.name}: {count} frames, {result.kept} kept\n"
                f"  speed    {result.frames_per_second:7.1f} frames/s, MTCNN on every frame alone {base_speed:.1f}:"
                f" {result.frames_per_second / base_speed:.1f}x\n"
                f"  shaking  {shaking(a):7.2f} px, from MTCNN's five points {shaking(b):.2f}:"
                f" {shaking(b) / shaking(a):.1f}x less\n"
                f"  lag      {best_lag(a, b):7d} frames"
            )


if __name__ == "__main__":
    main()
