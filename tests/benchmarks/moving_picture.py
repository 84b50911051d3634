"""Makes the README's moving picture from what the demo made.

    uv run python tests/benchmarks/moving_picture.py demo app/pictures/demo.webp

Every other frame of DEMO/side_by_side.mp4, from --first on, reduced; signed like the film it comes from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from faceswap.media.video import read_frames
from faceswap_pipelines.common.marks import seal_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--width", type=int, default=840)
    arguments = parser.parse_args()

    film, stop = arguments.demo / "side_by_side.mp4", arguments.first + 2 * arguments.count
    frames = [frame.image for frame in read_frames(film, arguments.first, stop)][::2]
    height = round(arguments.width * frames[0].shape[0] / frames[0].shape[1])
    pictures = [Image.fromarray(frame).resize((arguments.width, height), Image.Resampling.LANCZOS) for frame in frames]

    # There and back again, so that it has no jump.
    loop = [*pictures, *pictures[-2:0:-1]]
    loop[0].save(arguments.out, save_all=True, append_images=loop[1:], duration=80, loop=0, quality=70, method=6)
    seal_of(arguments.demo / "model", film)(arguments.out, arguments.out.name)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
