"""The films, facesets and model that the session's fixtures make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faceswap.provenance.consent import NOBODY

CLIP_FRAMES = 48
DRAWN = {"a": NOBODY, "b": NOBODY}
"""Nobody has to agree: the persons do not exist."""


@dataclass(frozen=True)
class Studio:
    """What the session made once; tests read it and write elsewhere."""

    clips: dict[str, Path]
    facesets: dict[str, Path]
    model: Path

    @property
    def training(self) -> tuple[str, ...]:
        """How a command begins that trains a model of the two."""
        facesets = (word for person, faces in self.facesets.items() for word in (f"--{person}", str(faces)))
        consent = (word for person, who in DRAWN.items() for word in ("--consent", f"{person}={who}"))
        return "train", *facesets, *consent
