"""The memory of an optimizer of Adam's family, as tensors with names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

Named = Iterable[tuple[str, nn.Parameter]]


def moments_of(optimizer: torch.optim.Optimizer, parameters: Named) -> dict[str, Tensor]:
    """The moments and the count of steps of each parameter, as optimizer.KEY.PARAMETER."""
    kept: dict[str, Tensor] = {}
    for name, parameter in parameters:
        for key, value in optimizer.state.get(parameter, {}).items():
            kept[f"optimizer.{key}.{name}"] = value
    return kept


@torch.no_grad()
def restore_moments(optimizer: torch.optim.Optimizer, parameters: Named, kept: Mapping[str, Tensor]) -> None:
    """Put back what `moments_of` gave; a parameter of which nothing was kept starts anew."""
    optimizer.state.clear()
    for name, parameter in parameters:
        if f"optimizer.step.{name}" not in kept:
            continue
        optimizer.state[parameter] = {
            "step": kept[f"optimizer.step.{name}"].to(parameter.device, copy=True),
            # In the parameter's own memory layout: the fused kernel walks through both side by side.
            "exp_avg": torch.empty_like(parameter).copy_(kept[f"optimizer.exp_avg.{name}"]),
            "exp_avg_sq": torch.empty_like(parameter).copy_(kept[f"optimizer.exp_avg_sq.{name}"]),
        }
