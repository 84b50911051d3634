"""What a cluster costs and saves: a batch of short clips by processes of this machine, and by the same with Ray.

    uv run python tests/benchmarks/cluster.py MODEL CLIP [--clips 12] [--frames 50] [--workers 2]

Cuts CLIP into so many pieces of so many frames and swaps each, as person b, with MODEL: with one process, with one of
Ray's, and with `--workers` of Ray's. All start cold: what they load and connect to is in the seconds.
"""

from __future__ import annotations

import argparse
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from record import Table, add_record_option, record

from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap_pipelines.batching.plan import read_plan
from faceswap_pipelines.batching.run import batch
from faceswap_pipelines.common.progress import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    add_record_option(parser)
    arguments = parser.parse_args()

    with TemporaryDirectory() as name:
        folder = Path(name)
        cut(arguments.clip, folder / "in", arguments.clips, arguments.frames)
        plain = seconds(folder, arguments.model, "plain", workers=1, ray=None)
        rows: list[list[str | float]] = [["one process", plain, 1.0]]
        for workers in sorted({1, arguments.workers}):
            taken = seconds(folder, arguments.model, f"ray{workers}", workers=workers, ray="local")
            rows.append([f"Ray, {workers} at a time", taken, plain / taken])

    table = Table(
        {f"{arguments.clips} clips of {arguments.frames} frames": "", "s": ".1f", "times as fast": ".2f"}, rows
    )
    print(table)
    record(arguments.record, [table])


def cut(clip: Path, folder: Path, count: int, frames: int) -> None:
    """Pieces of a clip, one from each so many frames on."""
    folder.mkdir()
    shots = [frame.image for frame in read_frames(clip, 0, count * frames)]
    for number in range(count):
        write_clip(folder / f"{number:02d}.mp4", shots[number * frames : (number + 1) * frames], Fraction(25))


def seconds(folder: Path, model: Path, name: str, *, workers: int, ray: str | None) -> float:
    """How long a batch of all pieces takes."""
    plan = folder / f"{name}.toml"
    plan.write_text(
        f'[[job]]\nkind = "swap"\ninputs = ["in/*.mp4"]\nmodel = "{model.absolute().as_posix()}"\n'
        f'out = "{name}/{{stem}}.mp4"\nsettings = {{ to = ["b"] }}\n'
    )
    began = time.perf_counter()
    result = run(batch(lambda: read_plan(plan), folder / f"{name}.db", workers=workers, device="cpu", ray=ray))
    assert not result.failed, [outcome.reason for outcome in result.outcomes]
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
