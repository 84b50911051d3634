"""What lies in front of faces is not learnt: it costs nothing, and what is drawn behind it is the face."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from faceswap.faces.occlusion import seen_of, usual_cover
from faceswap.model.swap_model import Decoded, Rendered, SwapModel
from faceswap.training.bank import VISIBLE, Bank, Batch, FacePlanes, upright
from faceswap.training.critics import pairs_of
from faceswap.training.losses import detail_losses, reconstruction_losses
from faceswap.training.stages import coarse_only
from faceswap.training.state import Budget, start_training
from faceswap.training.step import train
from support.tiny import CONFIG, CPU, SMALL, spots

THING = slice(16, 32), slice(20, 44)  # rows and columns of faces of 48 px


def covered(faces: FacePlanes, known: bool) -> FacePlanes:
    """Every third of `faces` with something bright before it, which the last plane shows, if it is `known`."""
    planes = torch.cat([faces, torch.full_like(faces[:, :1], 255)], dim=1)
    rows, columns = THING
    planes[::3, :3, rows, columns] = torch.tensor([250, 40, 220], dtype=torch.uint8)[:, None, None]
    planes[::3, VISIBLE, rows, columns] = 0
    return planes if known else planes[:, :VISIBLE]


@pytest.fixture
def batch() -> Batch:
    return upright(covered(spots(0), known=True), 48)


def decoded(batch: Batch) -> Decoded:
    picture = torch.rand(batch.target.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    return Decoded(picture, batch.mask, torch.logit(picture.detach(), 1e-3))


def otherwise_behind_things(batch: Batch) -> Batch:
    """The same, where something else covers the faces."""
    assert batch.visible is not None
    return replace(batch, target=batch.visible * batch.target + (1 - batch.visible) * 0.5)


def test_covered_pixels_cost_nothing_and_teach_nothing(batch: Batch) -> None:
    made = decoded(batch)
    losses = reconstruction_losses(made, batch, CONFIG)
    assert torch.allclose(losses.total, reconstruction_losses(made, otherwise_behind_things(batch), CONFIG).total)
    assert losses.total < reconstruction_losses(made, replace(batch, visible=None), CONFIG).total

    # Far enough inside, so that no window of the structural loss reaches out.
    [gradient] = torch.autograd.grad(losses.total, made.picture)
    rows, columns = THING
    inside = gradient[::3, :, rows.start + 6 : rows.stop - 6, columns.start + 6 : columns.stop - 6]
    assert inside.abs().mean() < 1e-2 * gradient[1, :, rows, columns].abs().mean()


def test_nor_do_they_in_the_detail_stage_and_before_critics(batch: Batch) -> None:
    made, other = decoded(batch), otherwise_behind_things(batch)
    rendered = Rendered(coarse=made, fine=made)
    assert torch.allclose(detail_losses(rendered, batch, CONFIG).total, detail_losses(rendered, other, CONFIG).total)
    one, same = (pairs_of({"a": made}, {"a": seen}, seed=0)["a"] for seen in (batch, other))
    assert torch.allclose(one[1], same[1], atol=1e-6)
    assert one[1].abs().sum() > 0


def test_where_all_is_seen_nothing_changes(batch: Batch) -> None:
    made, clear = decoded(batch), replace(batch, visible=torch.ones_like(batch.mask))
    assert torch.allclose(
        reconstruction_losses(made, clear, CONFIG).total,
        reconstruction_losses(made, replace(batch, visible=None), CONFIG).total,
    )


def test_a_model_draws_the_face_behind_a_thing_if_it_is_told_of_it() -> None:
    clean = upright(spots(0), SMALL.size)
    errors = {}
    for known in (True, False):
        trained = model_of({"a": covered(spots(0), known), "b": spots(1)})
        shown = upright(covered(spots(0), known=False), SMALL.size)
        errors[known] = behind_the_thing(trained.decode(trained.encode(shown.input), "a").picture - clean.target)
    assert errors[True] < 0.7 * errors[False]


def model_of(faces: dict[str, FacePlanes]) -> SwapModel:
    """What has learnt from `faces` for some steps, in which it does not learn to see through anything."""
    state = start_training(SMALL, CONFIG, CPU)
    banks = {person: Bank(theirs, SMALL.size, CONFIG, i, 0, CPU) for i, (person, theirs) in enumerate(faces.items())}
    for _ in train(state, coarse_only(SMALL, banks), Budget(steps=80)):
        pass
    for bank in banks.values():
        bank.close()
    return state.average


def behind_the_thing(differences: Float[Tensor, "faces 3 side side"]) -> float:
    rows, columns = (slice(part.start * 2 // 3, part.stop * 2 // 3) for part in THING)  # of faces of 32 px
    return float(differences[::3, :, rows, columns].abs().mean())


def test_what_a_person_always_wears_is_the_persons_own() -> None:
    visible = torch.ones(9, 32, 32)
    visible[:, 4:8] = 0  # a fringe
    visible[1, 3:9] = 0  # which moves
    visible[::3, 20:28] = 0  # a hand, now and then
    visible[1, 16, 16] = 0  # an error
    seen = seen_of(torch.ones(9, 32, 32), visible, usual_cover(visible))
    assert (seen[:, :14] == 1).all()
    assert (seen[::3, 20:28] == 0).all()
    assert (seen[1::3] == 1).all()
