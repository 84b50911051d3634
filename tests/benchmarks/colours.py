"""How far the colours that videos are read with are from ffmpeg's own.

    uv run python tests/benchmarks/colours.py

Clips of coloured patches, without loss, in every kind of colours that cameras and the web give; each is read by the
program and by the system's `ffmpeg` (zscale; for HDR its tone maps), and the largest difference of a patch's mean in
any channel is printed, in levels of 255. Those of HDR are colours of BT.709 under a white of 203 cd/m2: how far
they are moved to make room for what is brighter is each tone map's own choice.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import Float
from record import Table, add_record_option, record

from faceswap.media.video import read_frames
from faceswap.types import Picture

_PATCH, _COLUMNS = 48, 9
_LEVELS = (20, 110, 230)
_MATRICES = {1: Colorspace.ITU709, 6: Colorspace.ITU601, 9: Colorspace.BT2020}
_PQ, _HLG, _WHITE = 16, 18, 203  # the transfers; cd/m2
_BT2020_TO_BT709 = np.array([[1.6605, -0.5876, -0.0729], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_TO_RGB = "zscale=matrix=gbr:range=full,format=gbrp"
_TO_BT709 = "zscale=primaries=709:transfer=709:matrix=gbr:range=full,format=gbrp"
_TONE_MAP = (
    "zscale=transfer=linear:npl=203,format=gbrpf32le,zscale=primaries=709,tonemap={},"
    "zscale=transfer=709:matrix=gbr:range=full,format=gbrp"
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Colours by their tags, numbers of H.273, and what ffmpeg is asked for."""

    name: str
    primaries: int = 1
    transfer: int = 1
    matrix: int = 1
    filters: str = _TO_RGB

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (_PQ, _HLG)


KINDS = (
    Kind(name="BT.601", primaries=6, transfer=6, matrix=6),
    Kind(name="BT.709"),
    Kind(name="BT.2020 SDR", primaries=9, transfer=14, matrix=9, filters=_TO_BT709),
    Kind(name="Display P3", primaries=12, filters=_TO_BT709),
    Kind(name="PQ, hable", primaries=9, transfer=16, matrix=9, filters=_TONE_MAP.format("hable")),
    Kind(name="PQ, clipped", primaries=9, transfer=16, matrix=9, filters=_TONE_MAP.format("clip")),
    Kind(name="HLG, hable", primaries=9, transfer=18, matrix=9, filters=_TONE_MAP.format("hable")),
    Kind(name="HLG, clipped", primaries=9, transfer=18, matrix=9, filters=_TONE_MAP.format("clip")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_record_option(parser)
    arguments = parser.parse_args()

    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        sys.exit("there is no ffmpeg here to compare with")
    version = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout.split()[2]

    encodings = [(full_range, bits) for full_range in (False, True) for bits in (8, 10)]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            clips = (coloured(Path(folder) / "clip.mkv", kind, *encoding) for encoding in encodings)
            rows.append([kind.name, *(difference(clip, ffmpeg, kind) for clip in clips)])

    headings = [f"{'full' if full_range else 'limited'} range, {bits} bits" for full_range, bits in encodings]
    table = Table({f"levels from ffmpeg {version}": "", **dict.fromkeys(headings, ".1f")}, rows)
    print(table)
    record(arguments.record, [table])


def difference(clip: Path, ffmpeg: str, kind: Kind) -> float:
    """Of the patches' means, between the program and ffmpeg: the largest, in levels."""
    ours = means(next(read_frames(clip)).image)
    return float(np.abs(ours - means(by_ffmpeg(ffmpeg, clip, kind))).max())


def patches() -> Picture:
    """All mixtures of some levels, greys among them, in squares."""
    mixtures = np.array([(r, g, b) for r in _LEVELS for g in _LEVELS for b in _LEVELS], np.uint8)
    squares = mixtures.reshape(-1, _COLUMNS, 3)
    return squares.repeat(_PATCH, axis=0).repeat(_PATCH, axis=1)


def as_hdr(signal: np.ndarray, kind: Kind) -> np.ndarray:
    """Colours of BT.709 (0..1) as the signal of an HDR video that shows them."""
    light = np.maximum(signal**2.4 @ np.linalg.inv(_BT2020_TO_BT709).T, 0)
    if kind.transfer == _PQ:
        power = (light * _WHITE / 10_000) ** 0.1593017578125
        pq: np.ndarray = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
        return pq
    scene = light * 0.265  # of HLG: white is three quarters of the signal
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def means(image: Picture) -> Float[np.ndarray, "patches 3"]:
    """The colour in the middle of each patch: at its edges colours are mixed."""
    inner = slice(_PATCH // 4, -_PATCH // 4)
    rows, columns = image.shape[0] // _PATCH, image.shape[1] // _PATCH
    squares = image.reshape(rows, _PATCH, columns, _PATCH, 3)[:, inner, :, inner]
    averages: Float[np.ndarray, "patches 3"] = squares.mean(axis=(1, 3)).reshape(-1, 3)
    return averages


def coloured(path: Path, kind: Kind, full_range: bool, bits: int) -> Path:
    """A clip of the patches as FFV1, which loses nothing, with these tags."""
    pixels = "yuv420p" if bits == 8 else "yuv420p10le"
    image = np.rint(255 * as_hdr(patches() / 255, kind)).astype(np.uint8) if kind.is_hdr else patches()
    scale = ColorRange.JPEG if full_range else ColorRange.MPEG
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "ffv1", rate=25, width=image.shape[1], height=image.shape[0], pix_fmt=pixels, time_base=Fraction(1, 25)
        )
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.color_primaries, context.color_trc = kind.primaries, kind.transfer
        context.colorspace, context.color_range = kind.matrix, scale

        frame = VideoReformatter().reformat(
            av.VideoFrame.from_ndarray(image, "rgb24"),
            format=pixels,
            src_color_range=ColorRange.JPEG,
            dst_colorspace=_MATRICES[kind.matrix],
            dst_color_range=scale,
        )
        frame.color_primaries, frame.color_trc, frame.pts = kind.primaries, kind.transfer, 0  # type: ignore[assignment]
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def by_ffmpeg(ffmpeg: str, clip: Path, kind: Kind) -> Picture:
    """The first frame as RGB by ffmpeg's filters."""
    command = [ffmpeg, "-v", "error", "-i", str(clip), "-vf", kind.filters, "-frames:v", "1", "-pix_fmt", "gbrp"]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True)
    height, width = patches().shape[:2]
    green, blue, red = np.frombuffer(done.stdout, np.uint8).reshape(3, height, width)
    return np.dstack([red, green, blue])


if __name__ == "__main__":
    main()
