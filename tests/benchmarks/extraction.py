"""How fast faces are extracted, and how still they stand, beside MTCNN on every frame of the same video.

    uv run python tests/benchmarks/extraction.py [VIDEO ...] [--frames 400]

Without a video, an actor is filmed. The baseline detects faces in every whole frame, eight at a time, as small as ours
looks for, cuts them out by the five points and writes them; "alone" is without cutting and writing. Ours is the whole
of `faceswap extract`. Shaking is the root mean square of the second difference of the crop's corners, in pixels of a
512 px crop: what is left of it in a smooth movement is the movement. Lag is the shift at which our corners agree best
with those before smoothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch import MTCNN
from record import Table, add_record_option, record

from faceswap.faces.align import crop_transform
from faceswap.faces.faceset import Faceset
from faceswap.faces.landmarks import five_points, mean_mesh
from faceswap.faces.steady import stabilised
from faceswap.faces.trackfile import TrackFile
from faceswap.geometry import Similarity
from faceswap.media.pictures import cut, write_picture
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap.streams import batched
from faceswap.types import Frame, Picture
from faceswap_pipelines.common.analyse import FaceFinder, analyse
from faceswap_pipelines.common.cpu import keep_freed_memory
from faceswap_pipelines.common.inputs import Footage
from faceswap_pipelines.common.prefetch import prefetch
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import LEADS, frames
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract

COLUMNS = {
    "video": "",
    "frames": "",
    "faces kept": "",
    "frames/s": ".1f",
    "MTCNN on every frame": ".1f",
    "without cutting and writing": ".1f",
    "times as fast": ".1f",
    "shaking, px": ".2f",
    "by MTCNN's five points": ".2f",
    "lag, frames": "",
}
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


def every_frame(video: Path, count: int, out: Path | None) -> tuple[float, dict[int, np.ndarray]]:
    """Frames a second of the baseline, which writes crops only if it is told where; the corners of its crops."""
    height, width = next(read_frames(video)).image.shape[:2]
    detector = MTCNN(keep_all=True, post_process=False, min_face_size=min(height, width) // 8)
    template = five_points(mean_mesh()) * (0.2747 * _SIDE) + [_SIDE / 2, 0.42 * _SIDE]
    half = Similarity.resize(0.5)
    pictures: Iterator[Frame] = prefetch(islice(read_frames(video), count))
    found, start = {}, time.monotonic()
    with ThreadPoolExecutor() as pool:
        for some in batched(pictures, 8):
            _, _, points = detector.detect(np.stack([frame.image for frame in some]), landmarks=True)
            for frame, faces in zip(some, points, strict=True):
                if faces is not None:
                    to_crop = Similarity.fit(np.asarray(faces[0], np.float64), template)
                    found[frame.index] = corners(to_crop)
                    if out is not None:
                        pool.submit(write_crop, out / f"{frame.index}.jpg", frame.image, to_crop.then(half))
    return count / (time.monotonic() - start), found


def write_crop(path: Path, image: Picture, to_crop: Similarity) -> None:
    write_picture(path, cut(image, to_crop, _SIDE // 2), quality=95)


def smoothing_lag(video: Path, count: int, folder: Path) -> int:
    """By how many frames our smoothed corners are late."""
    with TrackFile(folder / "tracks.db") as tracks:
        analysis = run(analyse(Footage(path=video, frames=(0, count)), tracks, FaceFinder(torch.device("cpu"))))
        raw, steady = (
            np.array([corners(crop_transform(f.faces[0].points, _SIDE)) for f in found if f.faces])
            for found in (tracks.frames(analysis), stabilised(tracks.frames(analysis)))
        )
    return best_lag(steady, raw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=400)
    add_record_option(parser)
    options = parser.parse_args()

    keep_freed_memory()
    torch.manual_seed(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        videos = options.videos
        if not videos:
            videos = [Path(folder) / "actor.mp4"]
            write_clip(videos[0], (r.image for r in frames(LEADS[0], options.frames, 384, seed=0)), Fraction(25))
        for number, video in enumerate(videos):
            work = Path(folder) / str(number)
            (work / "baseline").mkdir(parents=True)
            rows.append(measured(video, options.frames, work))

    table = Table(COLUMNS, rows)
    print(table)
    record(options.record, [table])


def measured(video: Path, most: int, work: Path) -> list[str | float]:
    """A row of the table."""
    count = sum(1 for _ in islice(read_frames(video), most))
    alone, _ = every_frame(video, count, None)
    whole, theirs = every_frame(video, count, work / "baseline")

    result = run(extract(ExtractJob(inputs=(video,), out=work / "faces", frames=(0, count), device="cpu")))
    with Faceset.open(work / "faces") as opened:
        records = opened.records(kept_only=True)
    enlarged = {r.frame: r.to_crop.then(Similarity.resize(_SIDE / r.side)) for r in records}
    ours = {frame: corners(to_crop) for frame, to_crop in enlarged.items()}

    both = sorted(ours.keys() & theirs.keys())
    shakes = [shaking(np.array([track[i] for i in both])) for track in (ours, theirs)]
    speed = result.frames_per_second
    speeds = [speed, whole, alone, speed / whole]
    return [video.name, count, result.kept, *speeds, *shakes, smoothing_lag(video, count, work)]


if __name__ == "__main__":
    main()
