"""What videos can be encoded with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import av

from faceswap.errors import ConfigError, OutputError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's muxer for each suffix that can be written."""


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A kind of video."""

    encoder: str
    """FFmpeg's name."""
    pixels: str
    """FFmpeg's name for how pixels are kept."""
    suffixes: tuple[str, ...]
    """Of files that can hold it."""
    crf: int | None = None
    """Constant rate factor by default; None: it has no such thing."""
    crf_range: tuple[int, int] = (0, 51)
    presets: tuple[str, ...] = ()
    """What trades speed for size, or names a profile; the first one is the default."""
    preset_option: str = "preset"
    options: dict[str, str] = field(default_factory=dict)
    alpha: tuple[str, dict[str, str]] | None = None
    """How pixels are kept where they have an opacity, and what the encoder is told then; None: it keeps none."""
    nvenc: str | None = None
    """NVIDIA's hardware encoder for it."""
    segment: str = "nut"
    """FFmpeg's muxer for unfinished work. NUT keeps any time base exactly, but does not know every codec."""

    @property
    def even(self) -> tuple[bool, bool]:
        """Whether width and height have to be even, because colours are kept for pairs of pixels."""
        return "420" in self.pixels or "422" in self.pixels, "420" in self.pixels


# Against medium, veryfast takes 0.4 times as long at the same rate factor, makes files as large, and loses 1 dB of 42.
_X26_PRESETS = ("veryfast", "ultrafast", "superfast", "faster", "fast", "medium", "slow", "slower", "veryslow")

_LARGE, _HUGE = 8_000_000, 16_000_000  # pixels: from 4K on, and beyond it
_FEW_AHEAD = {"rc-lookahead": "5", "x264-params": "sync-lookahead=0"}
_NONE_AHEAD = {"rc-lookahead": "0", "bf": "0", "x264-params": "sliced-threads=1:sync-lookahead=0"}
"""Of x264, for large frames: it keeps forty megabytes of each 4K frame that it looks ahead at, or that a thread
works on."""

CODECS = {
    "h264": Codec(
        encoder="libx264",
        pixels="yuv420p",
        suffixes=tuple(CONTAINERS),
        crf=18,
        presets=_X26_PRESETS,
        nvenc="h264_nvenc",
    ),
    "h265": Codec(
        encoder="libx265",
        pixels="yuv420p",
        suffixes=tuple(CONTAINERS),
        crf=21,
        presets=("fast", *(name for name in _X26_PRESETS if name != "fast")),
        options={"x265-params": "log-level=none"},
        nvenc="hevc_nvenc",
    ),
    "av1": Codec(
        encoder="libsvtav1",
        pixels="yuv420p",
        suffixes=(".mp4", ".mkv"),
        crf=26,
        crf_range=(0, 63),
        presets=("8", *(str(number) for number in range(14) if number != 8)),
        nvenc="av1_nvenc",
    ),
    "prores": Codec(
        encoder="prores_ks",
        pixels="yuv422p10le",
        suffixes=(".mov", ".mkv"),
        presets=("hq", "proxy", "lt", "standard"),
        preset_option="profile",
        options={"vendor": "apl0"},
        alpha=("yuva444p10le", {"profile": "4444"}),
        segment="mov",
    ),
    "ffv1": Codec(
        encoder="ffv1",
        pixels="bgr0",
        suffixes=(".mkv",),
        options={"level": "3", "g": "1", "slicecrc": "1"},
        alpha=("bgra", {}),
    ),
}
"""By the name that a user gives: H.264 for everybody, H.265 and AV1 for less space, ProRes for editing, FFV1 for a copy
without any loss."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One of CODECS with its settings. Raises ConfigError for settings that it does not have."""

    codec: str = "h264"
    crf: int | None = None
    """Quality: lower is better and larger; None is the codec's default, which looks like the original."""
    preset: str | None = None
    """None is the codec's default."""
    hardware: bool = False
    """Encode on the GPU (NVENC)."""

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise ConfigError(f"there is no codec '{self.codec}'", f"Choose one of: {', '.join(CODECS)}")

        codec = CODECS[self.codec]
        least, most = codec.crf_range
        if self.crf is not None and codec.crf is None:
            raise ConfigError(f"{self.codec} has no crf", "Leave it out")
        if self.crf is not None and not least <= self.crf <= most:
            raise ConfigError(f"there is no crf {self.crf} for {self.codec}", f"Choose one from {least} to {most}")

        if self.hardware and self.preset is not None:
            raise ConfigError("hardware encoders have no such presets", "Leave out the preset, or hardware")
        if self.preset is not None and self.preset not in codec.presets:
            known = ", ".join(codec.presets) or "none: leave it out"
            raise ConfigError(f"{self.codec} has no preset '{self.preset}'", f"It has {known}")

    @property
    def kind(self) -> Codec:
        """What it is a setting of."""
        return CODECS[self.codec]

    def encoder(self, pixels: int = 0) -> tuple[str, dict[str, str]]:
        """FFmpeg's encoder and its options, for frames of so many pixels. Raises OutputError if it is not to be had
        here."""
        codec = self.kind
        if self.hardware:
            return self._nvenc(), {"rc": "vbr", "cq": str(codec.crf if self.crf is None else self.crf)}

        if codec.encoder not in av.codecs_available:
            raise OutputError(f"this FFmpeg cannot encode {self.codec}", "Choose another codec, such as h264")

        options = dict(codec.options)
        if codec.crf is not None:
            options["crf"] = str(codec.crf if self.crf is None else self.crf)
        if codec.presets:
            options[codec.preset_option] = self.preset or codec.presets[0]
        if codec.encoder == "libx264" and self.preset is None:
            options |= _NONE_AHEAD if pixels > _HUGE else _FEW_AHEAD if pixels > _LARGE else {}
        return codec.encoder, options

    def _nvenc(self) -> str:
        name = self.kind.nvenc
        if name is None:
            raise OutputError(f"there is no hardware encoder for {self.codec}", "Leave out hardware, or use h264")

        if not _can_open(name, self.kind.pixels):
            raise OutputError(
                f"this machine's GPU, if it has one, cannot encode {self.codec} ({name})", "Leave out hardware"
            )
        return name


@cache
def _can_open(encoder: str, pixels: str) -> bool:
    """Whether this machine has the hardware for an encoder: that shows only when it is asked to."""
    try:
        trial = av.CodecContext.create(encoder, "w")
        trial.width, trial.height, trial.pix_fmt = 256, 256, pixels  # type: ignore[attr-defined]  # it is for video
        trial.open()
    except (av.FFmpegError, ValueError):
        return False
    return True
