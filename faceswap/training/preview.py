"""What the model can do now, as rows of pictures: each person as they are, rebuilt, and as everybody else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from faceswap.model.swap_model import SwapModel
from faceswap.training.augment import sample
from faceswap.training.bank import Bank
from faceswap.types import Picture

Row = tuple[str, list[Picture]]


@torch.inference_mode()
def preview_rows(model: SwapModel, banks: Mapping[str, Bank], columns: int = 8) -> list[Row]:
    """For each person: `columns` of their faces, evenly from the bank, and what each decoder makes of them."""
    rows: list[Row] = []
    for person, bank in banks.items():
        chosen = torch.linspace(0, len(bank) - 1, min(columns, len(bank))).long().to(bank.clean.device)
        upright = torch.eye(2, 3, device=bank.clean.device).expand(len(chosen), 2, 3)
        size = [len(chosen), 1, model.config.size, model.config.size]
        grid = torch.nn.functional.affine_grid(upright, size, align_corners=False)
        faces = sample(bank.clean[chosen][:, :3], grid)
        latent = model.encode(faces)
        rows.append((person, _pictures(faces)))
        for other in (person, *(p for p in banks if p != person)):
            decoded = model.decode(latent, other)
            rows.append(
                (f"{person} as {other}" if other != person else f"{person} rebuilt", _pictures(decoded.picture))
            )
            if other == person:
                rows.append((f"{person} mask", _pictures(decoded.mask.expand(-1, 3, -1, -1))))
    return rows


def _pictures(batch: torch.Tensor) -> list[Picture]:
    values = (batch.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return list(np.ascontiguousarray(values))
