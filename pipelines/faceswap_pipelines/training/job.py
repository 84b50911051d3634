"""What is trained, and for how long; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What to train, and for how long."""

    facesets: Mapping[str, Path]
    """By the person's name."""
    model: Path
    preset: str | None = None
    """For a new model; None is what suits the device: base for a GPU, nano for a processor."""
    minutes: float | None = None
    steps: int | None = None
    until_plateau: bool = False
    """Exactly one of `minutes`, `steps` and `until_plateau`."""
    resume: bool = True
    from_scratch: bool = False
    """Begin with random weights, even where there are base weights that fit a new model."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By name, for fields of ModelConfig or TrainConfig: in place of the preset's and the defaults. Those of an
    existing network cannot be changed any more, those of its training can."""
    tensorboard: bool = False
    device: str = "auto"
    save_every: float = 30.0
    """Seconds of training that a killed process can cost."""
    consent: Mapping[str, str] = field(default_factory=dict)
    """By person, who that is, which says that they agreed to have their face swapped; or "nobody", for one who does
    not exist. Needed once for each person of a model."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of it."""

    model: str
    steps: int
    minutes: float
    """Spent on this model so far, earlier runs counted."""
    faces_per_second: float
    losses: dict[str, float]
    """By person."""
    latent: dict[str, float]
    """What is known of the latent: KL divergence, perplexity, ELBO..., where they apply."""
    held_out: float | None
    """Loss on faces that were not trained on, if some were held out."""
    waited: float
    """Seconds that steps waited for data."""
    preview: str
