"""The stages of a training, as data: what learns in each, from which faces, by which objective, and for how long.

First everything but the detail stages, at the small size and against damage: what a face does, and whose it is. Then
the decoders with their detail stages, at the large size: how it looks from near. The encoder stands still by then, so
that a face's latent means the same to everybody's decoder as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from faceswap.config import ModelConfig, TrainConfig
from faceswap.model.detail import is_detail
from faceswap.model.swap_model import SwapModel
from faceswap.training.bank import Source
from faceswap.training.losses import DetailObjective, Objective

COARSE, DETAIL = "coarse", "detail"


@dataclass(frozen=True, kw_only=True)
class StageKind:
    """What is always true of a stage."""

    name: str
    objective: Callable[[SwapModel, TrainConfig, torch.device], nn.Module]
    learns: Callable[[str], bool]
    """Whether a parameter of this name learns; all others stand still."""
    pace: float
    """Times the learning rate."""


def _is_decoder(parameter: str) -> bool:
    return parameter.startswith("decoders.")


_PACE = 3.0  # of detail: measured on a pair of men; four times is as good, seven times worse, once much slower
KINDS = {
    kind.name: kind
    for kind in (
        StageKind(name=COARSE, objective=Objective, learns=lambda name: not is_detail(name), pace=1.0),
        StageKind(name=DETAIL, objective=DetailObjective, learns=_is_decoder, pace=_PACE),
    )
}
"""By name."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A kind of stage with its faces and its share of the budget."""

    kind: StageKind
    banks: Mapping[str, Source]
    """By person; or a single one whose batches say whose each face is."""
    share: float = 1.0
    critics: bool = False
    """Whether critics have a say: in the last stage."""


def plan(
    model: ModelConfig, coarse: Mapping[str, Source], detail: Mapping[str, Source], detail_share: float
) -> list[Stage]:
    """All stages of such a model; of the last one the faces are `detail`, and the share of the budget
    `detail_share`."""
    if not model.detail:
        return [Stage(kind=KINDS[COARSE], banks=coarse, critics=True)]
    return [
        Stage(kind=KINDS[COARSE], banks=coarse, share=1 - detail_share),
        Stage(kind=KINDS[DETAIL], banks=detail, share=detail_share, critics=True),
    ]


def coarse_only(model: ModelConfig, banks: Mapping[str, Source]) -> list[Stage]:
    """A training without the detail stage."""
    return [Stage(kind=KINDS[COARSE], banks=banks, critics=not model.detail)]


def stage_at(stages: Sequence[Stage], progress: float) -> tuple[Stage, float]:
    """The stage that is due once `progress` (0..1) of the budget is used, and how much of it is over, 0..1."""
    begins = 0.0
    for stage in stages[:-1]:
        if progress < begins + stage.share:
            return stage, (progress - begins) / stage.share
        begins += stage.share
    return stages[-1], (progress - begins) / max(1e-9, 1 - begins)
