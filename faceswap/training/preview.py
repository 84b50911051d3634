"""What the model can do now, as rows of pictures: each person as they are, rebuilt, and as everybody else; and rebuilt
without the detail stage."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from faceswap.model.swap_model import SwapModel, conditional, picture
from faceswap.training.bank import Bank, Batch
from faceswap.training.close_ups import CloseUps
from faceswap.types import Picture

Row = tuple[str, list[Picture]]


@torch.inference_mode()
def preview_rows(model: SwapModel, banks: Mapping[str, Bank | CloseUps], columns: int = 6) -> list[Row]:
    """For each person: `columns` of their faces, evenly from the bank, and what each decoder makes of them; faces that
    nobody has shown, if the latent can be sampled."""
    rows: list[Row] = []
    for person, bank in banks.items():
        # As filmed, and rebuilt.
        shown = bank.shown(columns)
        latent = model.encode(shown.input)
        rebuilt = model.render(latent, person)
        rows.append((person, _pictures(shown.target)))
        rows.append((f"{person} rebuilt", _pictures(rebuilt.fine.picture)))
        if model.config.detail:
            rows.append((f"{person} before the detail stage", _pictures(rebuilt.coarse.picture)))
        rows.append((f"{person} mask", _pictures(rebuilt.coarse.mask.expand(-1, 3, -1, -1))))

        # As the others.
        others = [other for other in banks if other != person]
        swapped = [model.render(latent, other).fine.picture for other in others]
        rows += [(f"{person} as {other}", _pictures(faces)) for other, faces in zip(others, swapped, strict=True)]

    if model.bottleneck.generative:
        for person, bank in banks.items():
            drawn = model.bottleneck.sample(columns, torch.Generator(bank.device).manual_seed(0))
            pictures = model.render(drawn, person).fine.picture
            rows.append((f"{person}, drawn from the latent space", _pictures(pictures)))
    return rows


@torch.inference_mode()
def shown_as(model: SwapModel, shown: Batch, codes: Tensor) -> list[Row]:
    """For a model of many people: a few faces, rebuilt with the code found for each, and with others'."""
    features, decoder = model.bottleneck.decode(model.encode(shown.input)), conditional(model)

    whose = {
        "rebuilt, as the person who was found": codes,
        "as the mean person": decoder.codes.mean(dim=0, keepdim=True),
        "as the next one": codes.roll(-1, 0),
        **{f"as number {number}": codes[number : number + 1] for number in (1, 2, 3)},
    }

    rows = [("people who are not trained on, acting", _pictures(shown.target))]
    for title, code in whose.items():
        rows.append((title, _pictures(picture(decoder.draw(features, code).logits).picture)))
    return rows


def _pictures(batch: torch.Tensor) -> list[Picture]:
    values = (batch.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return list(np.ascontiguousarray(values))
