"""Laws of the detail stage: what it draws, when it learns, and what stays as it is meanwhile."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w
import torch
from torch.nn import functional

from faceswap.config import PRESETS, ModelConfig, TrainConfig, suitable_detail
from faceswap.errors import ConfigError
from faceswap.model.detail import Window, is_detail
from faceswap.model.folder import create_model_folder, load_model, read_config
from faceswap.model.swap_model import build_model
from faceswap.training.augment import draw_affine, resampled
from faceswap.training.bank import FacePlanes
from faceswap.training.checkpoint import load_checkpoint, save_checkpoint
from faceswap.training.close_ups import CloseUps, framed_by_opencv
from faceswap.training.stages import COARSE, DETAIL, Stage, plan, stage_at
from faceswap.training.state import Budget, TrainState, start_training, tensors_of
from faceswap.training.step import Metrics, train
from support.tiny import CONFIG, CPU, SMALL, open_banks, same, spots, weights

MODEL = dataclasses.replace(SMALL, detail=4)
SETTINGS = dataclasses.replace(CONFIG, detail_share=0.5)


@contextmanager
def open_stages(step: int = 0, model: ModelConfig = MODEL, settings: TrainConfig = SETTINGS) -> Iterator[list[Stage]]:
    close_ups = {p: CloseUps(textured(i), model, settings, i, CPU) for i, p in enumerate(model.persons)}
    try:
        with open_banks(step, settings, model) as banks:
            yield plan(model, banks, close_ups, settings.detail_share)
    finally:
        for close_up in close_ups.values():
            close_up.close()


def textured(person: int) -> FacePlanes:
    """Spots with fine stripes on them, which no small picture can show."""
    faces = spots(person, side=192)
    stripes = 40 * (torch.arange(192) // 2 % 2)
    faces[:, :3] = (faces[:, :3].int() + stripes).clamp(0, 255).to(torch.uint8)
    return faces


def run(state: TrainState, budget: Budget, steps: int) -> list[Metrics]:
    with open_stages(state.step, state.model.config, state.config) as stages:
        return [metrics for _, metrics in zip(range(steps), train(state, stages, budget), strict=False)]


def parts(state: TrainState) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Encoder and bottleneck; decoders without their detail stages; detail stages."""
    model = state.model
    named = list(model.decoders.named_parameters())
    return (
        torch.cat([p.detach().flatten() for p in (*model.encoder.parameters(), *model.bottleneck.parameters())]),
        torch.cat([p.detach().flatten() for name, p in named if not is_detail(name)]),
        torch.cat([p.detach().flatten() for name, p in named if is_detail(name)]),
    )


@pytest.mark.parametrize("decoder", ["separate", "conditional"])
def test_it_begins_as_the_plain_enlargement(decoder: str) -> None:
    model = build_model(dataclasses.replace(MODEL, decoder=decoder)).eval()
    with torch.inference_mode():
        rendered = model.render(model.encode(torch.rand(2, 3, 32, 32)), "b")
        small = model.decode(model.encode(torch.rand(2, 3, 32, 32)), "b")
    assert rendered.fine.picture.shape == (2, 3, 128, 128)
    assert rendered.coarse.picture.shape == small.picture.shape
    again = functional.avg_pool2d(rendered.fine.picture, 4)
    assert (again - rendered.coarse.picture).abs().mean() < 0.02


def test_a_window_is_that_part_of_the_whole() -> None:
    model, window = build_model(MODEL).eval(), Window(top=4, bottom=28, left=6, right=26)
    torch.nn.init.normal_(model.decoders["a"].detail.head.weight, std=0.1)
    with torch.inference_mode():
        latent = model.encode(torch.rand(2, 3, 32, 32))
        whole, part = (model.render(latent, "a", some).fine.picture for some in (None, window))
    inside = (slice(None), slice(None), slice(24, -24), slice(24, -24))  # borders see zeros in place of neighbours
    assert torch.allclose(window.of(whole, 32)[inside], part[inside], atol=1e-5)


def test_without_one_both_pictures_are_the_same() -> None:
    model = build_model(SMALL).eval()
    with torch.inference_mode():
        rendered = model.render(model.encode(torch.rand(1, 3, 32, 32)), "a")
    assert rendered.fine is rendered.coarse


def test_each_stage_teaches_its_own_part_alone() -> None:
    state, budget = start_training(MODEL, SETTINGS, CPU), Budget(steps=8)
    before = parts(state)
    coarse = run(state, budget, 4)
    between = parts(state)
    assert {metrics.stage for metrics in coarse} == {COARSE}
    assert not torch.equal(before[0], between[0])
    assert torch.equal(before[2], between[2]), "a detail stage learns nothing in the coarse stage"

    detail = run(state, budget, 4)
    after = parts(state)
    assert {metrics.stage for metrics in detail} == {DETAIL}
    averaged = [p.flatten() for p in (*state.average.encoder.parameters(), *state.average.bottleneck.parameters())]
    assert torch.allclose(after[0], torch.cat(averaged)), "what stands still is what swaps"
    assert not torch.equal(between[1], after[1])
    assert not torch.equal(between[2], after[2])


def test_it_learns_what_small_pictures_cannot_show() -> None:
    state = start_training(MODEL, dataclasses.replace(SETTINGS, detail_share=0.8, affine=0.0), CPU)
    metrics = [m for m in run(state, Budget(steps=150), 150) if m.stage == DETAIL]
    first, last = (metrics[at].losses["a"] for at in (0, -1))
    assert last.structure < 0.7 * first.structure
    assert last.mask < first.mask, "the mask goes on being learnt, while the layers that draw it do"


@pytest.mark.parametrize(("stop", "critics"), [(3, 0.0), (4, 0.0), (6, 0.0), (6, 0.1)])
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, stop: int, critics: float) -> None:
    """Before the detail stage, at its beginning, and inside of it."""
    budget = Budget(steps=8)
    settings = dataclasses.replace(SETTINGS, perceptual=critics, adversarial=critics, adversarial_from=0.2)
    whole = start_training(MODEL, settings, CPU)
    run(whole, budget, 8)

    create_model_folder(tmp_path, MODEL, settings)
    half = start_training(MODEL, settings, CPU)
    run(half, budget, stop)
    save_checkpoint(tmp_path, half, budget)
    loaded = load_checkpoint(tmp_path, CPU)
    assert loaded is not None
    resumed, known = loaded
    run(resumed, known, 8)
    assert (resumed.step, resumed.stage, resumed.stage_step) == (8, DETAIL, 4)
    assert same(tensors_of(resumed), tensors_of(whole))
    assert torch.equal(weights(resumed.average), weights(whole.average))


def test_a_model_from_before_is_read_and_can_be_given_one(tmp_path: Path) -> None:
    state = start_training(SMALL, CONFIG, CPU)
    create_model_folder(tmp_path, SMALL, CONFIG)
    save_checkpoint(tmp_path, state, Budget(steps=1))
    config = tmp_path / "config.toml"
    values = tomllib.loads(config.read_text())
    del values["model"]["detail"], values["train"]["detail_share"]
    config.write_text(tomli_w.dumps(values | {"version": 2}))

    before = read_config(tmp_path)
    assert before.from_before_detail
    assert before.model.output_size == 32
    create_model_folder(tmp_path, dataclasses.replace(before.model, detail=4), before.train)
    model = load_model(tmp_path, CPU)
    assert model.config.output_size == 128
    known = state.average.state_dict()
    assert same({name: value for name, value in model.state_dict().items() if not is_detail(name)}, known)
    loaded = load_checkpoint(tmp_path, CPU)
    assert loaded is not None
    run(loaded[0], Budget(steps=4), 4)
    assert loaded[0].stage == DETAIL


def test_close_ups_show_the_encoder_what_is_wanted_of_it() -> None:
    close_ups = CloseUps(textured(0), MODEL, SETTINGS, 0, CPU)
    batch, again = close_ups.batch(3), CloseUps(textured(0), MODEL, SETTINGS, 0, CPU).batch(3)
    close_ups.close()
    assert torch.equal(batch.target, again.target)
    assert batch.input.shape == (4, 3, 32, 32)
    assert batch.window is not None
    reduced = functional.avg_pool2d(batch.target, 4)
    assert torch.allclose(batch.window.of(batch.input, 32), reduced, atol=1e-5)


def test_opencv_and_torch_frame_alike() -> None:
    faces, rng = spots(0, side=96), torch.Generator().manual_seed(0)
    theta = draw_affine(len(faces), 1.0, rng)
    grid = functional.affine_grid(theta, [len(faces), 1, 64, 64], align_corners=False)
    assert (framed_by_opencv(faces, theta, 64).float() / 255 - resampled(faces, grid)).abs().max() < 0.02


def test_the_stage_that_is_due() -> None:
    with open_stages() as stages:
        found = [stage_at(stages, progress) for progress in (0.0, 0.25, 0.5, 0.75)]
    assert [stage.kind.name for stage, _ in found] == [COARSE, COARSE, DETAIL, DETAIL]
    assert [done for _, done in found] == [0.0, 0.5, 0.0, 0.5]


def test_how_large_pictures_become() -> None:
    assert [suitable_detail(size) for size in (64, 128, 256, 512)] == [4, 4, 2, 0]
    assert {name: preset.output_size for name, preset in PRESETS.items()} == {"nano": 256, "base": 512, "large": 512}
    with pytest.raises(ConfigError, match="too large"):
        dataclasses.replace(MODEL, size=512)
