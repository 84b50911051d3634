"""What keeping things in front of faces costs and harms, and which heads are found.

    uv run python tests/benchmarks/in_front.py swap MODEL VIDEO --identity VIDEO [--to b] [--frames 100]
    uv run python tests/benchmarks/in_front.py detect
    uv run python tests/benchmarks/in_front.py extract VIDEO [--frames 200]

- swap: a clip before which nothing lies, swapped by turns with occlusion off and on, faces known: frames a second, and
  every measure of `faceswap evaluate`. Both should be the same.
- detect: drawn actors whose heads turn by 0 to 90 degrees, and lie at any angle: the shares in which MTCNN sees the
  face, one of the two detectors does, the program takes it for a face, and its mesh lies as the truth has it.
- extract: frames per second of the first pass with the second detector and without.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from faceswap.config import SwapConfig
from faceswap.faces.detect import Detector, MTCNNDetector
from faceswap.faces.full_range import FullRangeDetector
from faceswap.faces.landmarks import five_points
from faceswap.faces.trackfile import TrackFile
from faceswap.types import Picture
from faceswap_pipelines.common.analyse import FaceFinder, analyse
from faceswap_pipelines.common.cpu import keep_freed_memory
from faceswap_pipelines.common.inputs import Footage
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import CAST, Stage, perform
from faceswap_pipelines.evaluation.job import EvaluateJob, SwapFiles
from faceswap_pipelines.evaluation.run import evaluate
from faceswap_pipelines.swapping.job import SwapJob, SwapSettings
from faceswap_pipelines.swapping.run import swap

_CPU = torch.device("cpu")
_TURNS = 3  # that on and off take
_SIZE = 256
_YAWS, _ROLLS = range(0, 91, 15), range(0, 360, 30)  # degrees
_NEAR = 0.35  # of the distance from the eyes to the mouth, that points may lie away on average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    swapping = commands.add_parser("swap")
    swapping.add_argument("model", type=Path)
    swapping.add_argument("video", type=Path)
    swapping.add_argument("--identity", type=Path, required=True)
    swapping.add_argument("--to", default="b")
    swapping.add_argument("--frames", type=int, default=100)
    swapping.set_defaults(work=compare_swaps)

    commands.add_parser("detect").set_defaults(work=find_turned)

    extracting = commands.add_parser("extract")
    extracting.add_argument("video", type=Path)
    extracting.add_argument("--frames", type=int, default=200)
    extracting.set_defaults(work=compare_finding)

    options = parser.parse_args()
    keep_freed_memory()
    print(f"{time.strftime('%Y-%m-%d')}, torch {torch.__version__}, {torch.get_num_threads()} cores")
    options.work(options)


def compare_swaps(options: argparse.Namespace) -> None:
    rates: dict[float, list[float]] = {0.0: [], 1.0: []}
    measures = {}
    with tempfile.TemporaryDirectory() as folder:
        jobs = {
            occlusion: SwapJob(
                video=options.video,
                model=options.model,
                out=Path(folder) / f"{occlusion:g}.mp4",
                settings=SwapSettings(to=(options.to,), look=SwapConfig(occlusion=occlusion)),
                frames=(0, options.frames),
                overwrite=True,
                device="cpu",
            )
            for occlusion in rates
        }
        run(swap(jobs[0.0]))  # finds the faces
        for _ in range(_TURNS):
            for occlusion, job in jobs.items():
                rates[occlusion].append(run(swap(job)).frames_per_second)

        for occlusion, job in jobs.items():
            files = SwapFiles(swap=job.out, target=options.video, identity=options.identity, frames=(0, options.frames))
            quality = run(evaluate(EvaluateJob(swap=files, device="cpu"))).swap
            assert quality is not None
            measures[occlusion] = _flat(dataclasses.asdict(quality))

    print("| | off | on |\n|---|---|---|")
    print(f"| frames/s | {max(rates[0.0]):.1f} | {max(rates[1.0]):.1f} |")
    for name, value in measures[0.0].items():
        print(f"| {name} | {value:.3f} | {measures[1.0][name]:.3f} |")


def _flat(values: dict[str, object]) -> dict[str, float]:
    """All numbers, those of nested tables, too."""
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            numbers |= _flat(value)
        elif isinstance(value, int | float):
            numbers[name] = float(value)
    return numbers


def find_turned(_options: argparse.Namespace) -> None:
    detectors, finder = (MTCNNDetector(_CPU), FullRangeDetector(_CPU)), FaceFinder(_CPU)
    stages = [Stage(actor, _SIZE) for actor in CAST.values()]
    still = perform(0, 0)

    print(f"| {len(stages)} actors | MTCNN alone | either detector | the program | its points lie right |")
    print("|---|---|---|---|---|")
    for yaw in _YAWS:
        poses = [stage.render(replace(still, yaw=float(yaw), pitch=0.0, roll=0.0)) for stage in stages]
        _print_found(f"turned by {yaw}", [(pose.image, pose.landmarks) for pose in poses], detectors, finder)
    for roll in _ROLLS:
        poses = [stage.render(replace(still, yaw=0.0, roll=0.0)) for stage in stages]
        _print_found(
            f"lying at {roll}", [rolled(pose.image, pose.landmarks, roll) for pose in poses], detectors, finder
        )


def rolled(image: Picture, points: np.ndarray, degrees: float) -> tuple[Picture, np.ndarray]:
    """The picture turned clockwise about its middle, and the points in it."""
    middle = ((_SIZE - 1) / 2, (_SIZE - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, -degrees, 1)
    turned = cv2.warpAffine(image, matrix, (_SIZE, _SIZE), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
    return turned, points @ matrix[:, :2].T + matrix[:, 2]


def _print_found(
    name: str, pictures: list[tuple[Picture, np.ndarray]], detectors: tuple[Detector, Detector], finder: FaceFinder
) -> None:
    seen = np.array([[bool(detector.detect([image])[0]) for detector in detectors] for image, _ in pictures])
    away = [_away(image, true, finder) for image, true in pictures]
    found, right = [a is not None for a in away], [a is not None and a < _NEAR for a in away]
    shares = seen[:, 0].mean(), seen.any(axis=1).mean(), np.mean(found), np.mean(right)
    print(f"| {name} | {' | '.join(f'{share:.2f}' for share in shares)} |", flush=True)


def _away(image: Picture, true: np.ndarray, finder: FaceFinder) -> float | None:
    """How far the points of the largest face lie from the truth, by its size; None if none is found."""
    _, [(_, seen)] = finder.look_at([image])
    if not seen.faces:
        return None
    face = max(seen.faces, key=lambda face: face.size)
    size = float(np.linalg.norm(true[:2].mean(axis=0) - true[3:].mean(axis=0)))
    return float(np.linalg.norm(five_points(face.points) - true, axis=1).mean()) / size


def compare_finding(options: argparse.Namespace) -> None:
    finders = {"with": FaceFinder(_CPU), "without": FaceFinder(_CPU)}
    finders["without"]._second = None  # type: ignore[assignment]  # a tracker may have none
    rates: dict[str, list[float]] = {name: [] for name in finders}
    for _ in range(_TURNS):
        for name, finder in finders.items():
            rates[name].append(_rate(options, finder))
    for name, all_of_them in rates.items():
        print(f"finding faces {name} the second detector: {max(all_of_them):.1f} frames/s")


def _rate(options: argparse.Namespace, finder: FaceFinder) -> float:
    with tempfile.TemporaryDirectory() as folder, TrackFile(Path(folder) / "tracks.db") as tracks:
        start = time.monotonic()
        run(analyse(Footage(path=options.video, frames=(0, options.frames)), tracks, finder))
        return options.frames / (time.monotonic() - start)


if __name__ == "__main__":
    main()
