"""What is known of a video, whatever reads it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

WEBP = "webp"
"""The codec of animated WebP."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video file says about its (best) video stream, and whether it has sound."""

    path: Path
    width: int
    """Pixels, as displayed: after rotation."""
    height: int
    rotation: int
    """Degrees clockwise (0, 90, 180 or 270) from the stored picture to the displayed one, behind `mirrored`."""
    pixel_aspect: Fraction
    """Width over height of one displayed pixel; 1 for nearly all videos."""
    frame_rate: Fraction
    """Average frames per second; single frames may last shorter or longer."""
    frame_count: int | None
    """An estimate from the header, or None where it says nothing."""
    duration: Fraction | None
    """Seconds."""
    time_base: Fraction
    """Seconds per tick: every frame's time is a whole number of ticks."""
    codec: str
    bit_depth: int
    color_matrix: str
    """The matrix that made YUV of RGB, by FFmpeg's name: "bt709", "smpte170m", ... or "untagged"."""
    full_range: bool
    """Whether luma fills 0..255 (of 8 bits) rather than 16..235."""
    has_audio: bool
    mirrored: bool = False
    """Whether the stored picture is to be exchanged left and right before it is turned."""
    interlaced: bool = False
    """Whether its frames are stored as two fields, of two moments: `read_frames` makes whole ones of them."""
    has_alpha: bool = False
    """Whether it is transparent somewhere."""
    first_tick: int = 0
    """What the stream's own clock shows at its first frame."""
    zero_tick: int = 0
    """What it shows at time 0 of `read_frames`: broadcasts and recordings do not begin at 0."""
    zero: Fraction = Fraction(0)
    """What the clocks of the file's other streams show then, in seconds."""

    @property
    def stands_alone(self) -> bool:
        """Whether there are pictures and nothing besides: a folder of numbered ones, or an animated WebP."""
        return self.path.is_dir() or self.codec == WEBP
