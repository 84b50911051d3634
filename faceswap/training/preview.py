"""What the model can do now, as rows of pictures: each person as filmed, as everybody else, and rebuilt with and
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
def preview_rows(
    model: SwapModel, banks: Mapping[str, Bank | CloseUps], names: Mapping[str, str] | None = None, columns: int = 6
) -> list[Row]:
    """For each person `columns` of their faces, evenly from the bank: as filmed, and with the face of each other one.
    Then the same rebuilt, faces that nobody has shown if the latent can be sampled, and last the masks, small.

    `names`: what persons are called in the rows' titles, if not as the model calls them.
    """
    called = {person: (names or {}).get(person, person) for person in banks}
    swapped: list[Row] = []
    rebuilt: list[Row] = []
    masks: list[list[Picture]] = []

    for person, bank in banks.items():
        # As filmed, and as the others.
        shown, name = bank.shown(columns), called[person]
        latent = model.encode(shown.input)
        swapped.append((f"{name} as filmed", _pictures(shown.target)))
        for other in banks:
            if other != person:
                pictures = model.render(latent, other).fine.picture
                swapped.append((f"{name} with the face of {called[other]}", _pictures(pictures)))

        # Rebuilt.
        own = model.render(latent, person)
        rebuilt.append((f"{name} rebuilt", _pictures(own.fine.picture)))
        if model.config.detail:
            rebuilt.append((f"{name} rebuilt, before the detail stage", _pictures(own.coarse.picture)))
        masks.append(_pictures(own.coarse.mask.expand(-1, 3, -1, -1)))

    if model.bottleneck.generative:
        for person, bank in banks.items():
            drawn = model.bottleneck.sample(columns, torch.Generator(bank.device).manual_seed(0))
            pictures = model.render(drawn, person).fine.picture
            rebuilt.append((f"{called[person]}, drawn from the latent space", _pictures(pictures)))

    above = [np.vstack(column) for column in zip(*masks, strict=True)]
    return [*swapped, *rebuilt, (f"masks, from above: {', '.join(called.values())}", above)]


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
