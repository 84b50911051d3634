"""What is extracted, and how; and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from faceswap.faces.quality import QualityLimits
from faceswap.media.fingerprint import fingerprint
from faceswap_pipelines.common.inputs import FrameRange


@dataclass(frozen=True, kw_only=True)
class ExtractJob:
    """What to extract, and how."""

    inputs: tuple[Path, ...]
    """Videos, pictures, or folders of them and of folders."""
    out: Path
    frames: FrameRange = (0, None)
    """Of each video."""
    size: int | None = None
    """Side of the crops, in pixels; None: as of the faceset's other crops, for a new one as large as each face is in
    the footage."""
    min_face: int | None = None
    """Width in pixels of the smallest face to look for; None: an eighth of the frame's short side."""
    person: Path | None = None
    """A picture of the person whose faces are wanted; None: whoever is seen most, or whose faces are in `out`."""
    skip_similar: float = 0.0
    """Leave out faces that differ from the one kept before by less than this (mean grey levels, 0..255)."""
    limits: QualityLimits = field(default_factory=QualityLimits)
    device: str = "auto"
    frame_rate: Fraction | None = field(default=None, repr=False)
    """The pictures in each folder are the frames of a film, numbered, so many a second; None: single pictures."""
    everybody: bool = False
    """Each input shows somebody else, and the one who is seen most in it is wanted: for a folder of portraits."""

    @property
    def extraction_key(self) -> str:
        """How faces are found and judged, where that is not as by default: what differs is not done already."""
        chosen = (self.min_face, self.person and fingerprint(self.person), self.skip_similar, self.limits)
        return "" if chosen == (None, None, 0.0, QualityLimits()) else repr(chosen)


@dataclass(frozen=True, kw_only=True)
class ExtractResult:
    """What came of it; the counts are of the whole faceset."""

    faceset: str
    frames: int
    """Looked at in this run."""
    frames_per_second: float
    kept: int
    rejected: dict[str, int]
    """By reason."""
    failed: dict[str, str]
    """Inputs that could not be read, and files in folders that are no footage, with the reason."""
