"""What faces are learnt from, and for how long; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PretrainJob:
    """What to learn faces from, and how long."""

    portraits: Path
    """A folder of pictures, or of folders of them; one face in each is looked at."""
    out: Path
    preset: str = "nano"
    minutes: float | None = None
    steps: int | None = None
    """One of `minutes` and `steps`, in all, earlier runs counted."""
    begin: Path | None = None
    """Base weights of the same preset to begin with, in place of random ones."""
    grow: str | None = None
    """The preset of half the size, trained in the same `out`, to begin with what it knows, people and all."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TrainConfig, by name, in place of the recipe's."""
    device: str = "auto"
    save_every: float = 120.0


@dataclass(frozen=True, kw_only=True)
class PretrainResult:
    """What came of it."""

    weights: str
    sha256: str
    megabytes: float
    people: int
    steps: int
    minutes: float
    held_out_loss: float
    """Of people who were not trained on, their codes found."""
    held_out_likeness: float
    """SSIM of their faces."""
    preview: str
