"""Laws of the model, the denoising task, the losses, the step, and the checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from faceswap.config import PRESETS, ModelConfig, TrainConfig, from_dict, load_toml, to_toml
from faceswap.errors import ConfigError, ModelError
from faceswap.model.encoder import smallest_side
from faceswap.model.swap_model import SwapModel, build_model
from faceswap.training.augment import Corruption, draw_geometry, sample
from faceswap.training.bank import Bank, Sample
from faceswap.training.checkpoint import (
    create_model_folder,
    latest_checkpoint,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from faceswap.training.losses import reconstruction_losses, ssim_map
from faceswap.training.step import Budget, TrainState, schedule, start_training, train, train_step

CPU = torch.device("cpu")
SMALL = ModelConfig(("a", "b"), size=32, width=8, max_width=32, latent=16)
CONFIG = TrainConfig(batch_size=4, warmup_steps=2)


def samples(seed: int, count: int = 12, side: int = 48) -> list[Sample]:
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[0:side, 0:side]
    made = []
    for _ in range(count):
        shade, x, y = rng.integers(60, 200, 3), *rng.uniform(0.4, 0.6, 2)
        spot = np.exp(-(((xx / side - x) ** 2 + (yy / side - y) ** 2) / 0.05))
        picture = (shade * spot[..., None] + 30).clip(0, 255).astype(np.uint8)
        mask = (spot * 255).astype(np.uint8)
        made.append(Sample(picture, mask, (mask // 2).astype(np.uint8)))
    return made


def banks(step: int, config: TrainConfig = CONFIG) -> dict[str, Bank]:
    return {p: Bank(samples(i), SMALL.size, config, i, step, CPU) for i, p in enumerate(SMALL.persons)}


def run_steps(state: TrainState, steps: int, budget: Budget) -> None:
    mine = banks(state.step)
    for _, _metrics in zip(range(steps), train(state, mine, budget), strict=False):
        pass
    for bank in mine.values():
        bank.close()


@pytest.mark.parametrize("size", [32, 48, 64, 80, 96, 128, 144, 256])
def test_every_size_comes_out_as_it_went_in(size: int) -> None:
    config = ModelConfig(("a", "b"), size=size, width=4, max_width=16, latent=8)
    model = build_model(config)
    latent = model.encode(torch.rand(2, 3, size, size))
    decoded = model.decode(latent, "b")
    assert latent.shape == (2, 8)
    assert decoded.picture.shape == (2, 3, size, size)
    assert decoded.mask.shape == (2, 1, size, size)
    assert smallest_side(config) >= 4
    assert 0 <= decoded.picture.min() <= decoded.picture.max() <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_presets_build(name: str) -> None:
    model = build_model(PRESETS[name])
    assert sum(p.numel() for p in model.parameters()) * 16 < 2e9


def test_a_decoder_starts_without_a_checkerboard() -> None:
    """At first the four sub-pixels of each upsampling are equal: only the head and convolutions tell them apart."""
    from faceswap.model.blocks import Upsample

    out = Upsample(6, 5)(torch.randn(1, 6, 7, 7))
    blocks = out.unfold(2, 2, 2).unfold(3, 2, 2)
    torch.testing.assert_close(blocks, blocks[..., :1, :1].expand_as(blocks))


def test_all_decoders_start_equal_and_seeds_matter() -> None:
    model = build_model(SMALL, seed=3)
    latent = model.encode(torch.rand(1, 3, 32, 32))
    assert torch.equal(model.decode(latent, "a").picture, model.decode(latent, "b").picture)
    assert not torch.equal(weights(build_model(SMALL, seed=4)), weights(model))
    assert torch.equal(weights(build_model(SMALL, seed=3)), weights(model))


def weights(model: SwapModel) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_step_on_a_leaves_decoder_b_bit_equal_and_moves_the_rest() -> None:
    state = start_training(SMALL, CONFIG, CPU)
    mine = banks(0)
    before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    train_step(state, {"a": mine["a"].batch(0)}, 1e-3)
    for bank in mine.values():
        bank.close()
    moved = {name for name, p in state.model.named_parameters() if not torch.equal(p, before[name])}
    assert not any(name.startswith("decoders.b.") for name in moved)
    assert any(name.startswith("decoders.a.") for name in moved)
    assert any(name.startswith("encoder.") for name in moved)
    assert any(name.startswith("bottleneck.") for name in moved)


def test_training_learns() -> None:
    state = start_training(SMALL, CONFIG, CPU)
    mine = banks(0)
    losses = [sum(float(loss.total) for loss in m.losses.values()) for m in train(state, mine, Budget(steps=60))]
    for bank in mine.values():
        bank.close()
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert state.step == 60


def test_resuming_is_exact(tmp_path: Path) -> None:
    """20 steps are 10 steps, a save, a load, and 10 steps: bit for bit, averaged weights included."""
    budget = Budget(steps=20)
    whole = start_training(SMALL, CONFIG, CPU)
    run_steps(whole, 20, budget)

    create_model_folder(tmp_path, SMALL, CONFIG)
    first = start_training(SMALL, CONFIG, CPU)
    run_steps(first, 10, budget)
    save_checkpoint(tmp_path, first, budget)
    loaded = load_checkpoint(tmp_path, CPU)
    assert loaded is not None
    second, same_budget = loaded
    assert (second.step, same_budget) == (10, budget)
    run_steps(second, 10, same_budget)
    assert torch.equal(weights(second.model), weights(whole.model))
    assert torch.equal(weights(second.average), weights(whole.average))


def test_the_newest_checkpoint_that_can_be_read_is_used(tmp_path: Path) -> None:
    create_model_folder(tmp_path, SMALL, CONFIG)
    state = start_training(SMALL, CONFIG, CPU)
    for step in (1, 2, 3):
        state.step = step
        save_checkpoint(tmp_path, state, Budget(steps=9))
    kept = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert kept == ["00000002", "00000003"]
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    (newest / "weights.safetensors").write_bytes(b"torn")
    loaded = load_checkpoint(tmp_path, CPU)
    assert loaded is not None
    assert loaded[0].step == 2
    load_model(tmp_path, CPU)
    older = tmp_path / "checkpoint" / "00000002" / "state.json"
    older.write_text(json.dumps({"version": 99}))
    with pytest.raises(ModelError, match="no checkpoint"):
        load_model(tmp_path, CPU)


def test_a_folder_that_a_kill_left_half_written_is_not_a_checkpoint(tmp_path: Path) -> None:
    create_model_folder(tmp_path, SMALL, CONFIG)
    torn = tmp_path / "checkpoint" / "00000007.unfinished"
    torn.mkdir(parents=True)
    (torn / "weights.safetensors").write_bytes(b"half")
    assert load_checkpoint(tmp_path, CPU) is None
    with pytest.raises(ModelError, match="no checkpoint yet"):
        load_model(tmp_path, CPU)


def test_corruption_depends_on_its_seed_alone_and_zero_strength_does_nothing() -> None:
    face = samples(5, count=1)[0].picture
    damage = Corruption(1.0)
    different = [damage(face, seed) for seed in range(12)]
    for seed in range(12):
        np.testing.assert_array_equal(damage(face, seed), different[seed])
    assert len({picture.tobytes() for picture in different}) > 6
    np.testing.assert_array_equal(Corruption(0.0)(face, 1), face)


def test_the_bank_gives_the_same_batches_from_whichever_step_it_starts() -> None:
    early = Bank(samples(0), 32, CONFIG, 0, 0, CPU)
    for step in range(9):
        expected = early.batch(step)
    late = Bank(samples(0), 32, CONFIG, 0, 8, CPU)
    got = late.batch(8)
    for bank in (early, late):
        bank.close()
    assert torch.equal(got.input, expected.input)
    assert torch.equal(got.target, expected.target)


def test_two_persons_draw_different_numbers() -> None:
    pair = [Bank(samples(0), 32, CONFIG, person, 0, CPU) for person in (0, 1)]
    first, second = (bank.batch(0).target for bank in pair)
    for bank in pair:
        bank.close()
    assert not torch.equal(first, second)


def test_without_strength_geometry_is_the_identity_and_the_warp_moves_the_input_only() -> None:
    images = torch.randint(0, 255, (3, 5, 32, 32), dtype=torch.uint8)
    rng = torch.Generator().manual_seed(0)
    still = draw_geometry(3, 32, 0.0, 0.0, rng)
    torch.testing.assert_close(sample(images, still.input), images.float() / 255, atol=1e-5, rtol=0)
    warped = draw_geometry(3, 32, 0.0, 1.0, rng)
    torch.testing.assert_close(sample(images, warped.target), images.float() / 255, atol=1e-5, rtol=0)
    moved = (warped.input - warped.target).abs() * 16  # pixels
    assert 0.3 < float(moved.mean()) < 4


def test_ssim_is_one_for_equal_pictures_less_for_others_and_symmetric() -> None:
    x = torch.rand(2, 3, 24, 24)
    y = (x + 0.2 * torch.randn_like(x)).clamp(0, 1)
    torch.testing.assert_close(ssim_map(x, x), torch.ones(2, 1, 24, 24), atol=1e-4, rtol=0)
    assert float(ssim_map(x, y).mean()) < 0.95
    torch.testing.assert_close(ssim_map(x, y), ssim_map(y, x))


def test_ssim_agrees_with_its_definition() -> None:
    """At one inner pixel, by the formula with an 11 x 11 Gaussian window, one sum after the other."""
    x, y = torch.rand(1, 3, 21, 21, dtype=torch.float64), torch.rand(1, 3, 21, 21, dtype=torch.float64)
    at = torch.arange(-5, 6, dtype=torch.float64)
    line = torch.exp(-(at**2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2
    values = []
    for channel in range(3):
        p, q = x[0, channel, 5:16, 5:16], y[0, channel, 5:16, 5:16]
        mp, mq = (window * p).sum(), (window * q).sum()
        vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
        cov = (window * (p - mp) * (q - mq)).sum()
        values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    expected = torch.stack(values).mean()
    torch.testing.assert_close(ssim_map(x, y)[0, 0, 10, 10], expected, atol=1e-6, rtol=1e-5)


def test_the_loss_is_zero_for_a_perfect_copy_and_weighs_eyes_and_mouth_more() -> None:
    from faceswap.model.swap_model import Decoded
    from faceswap.training.bank import Batch

    target = torch.rand(1, 3, 32, 32)
    mask, features = torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    features[..., 4:12, 4:12] = 1
    batch = Batch(target, target, mask, features)
    perfect = reconstruction_losses(Decoded(target, mask), batch, CONFIG)
    assert float(perfect.total) < 1e-3

    def with_fault(top: int, left: int) -> float:
        wrong = target.clone()
        wrong[..., top : top + 8, left : left + 8] = 1 - wrong[..., top : top + 8, left : left + 8]
        return float(reconstruction_losses(Decoded(wrong, mask), batch, CONFIG).pixel)

    assert with_fault(4, 4) > 2 * with_fault(20, 20)


def test_budgets_and_schedule() -> None:
    assert Budget(steps=10, start_step=5).progress(10, 99.0) == 0.5
    assert Budget(seconds=60.0, start_seconds=30.0).progress(7, 90.0) == 1.0
    rates = [schedule(CONFIG, step, step / 100) for step in range(101)]
    assert rates[0] < rates[2]
    assert max(rates) == pytest.approx(CONFIG.learning_rate, rel=0.01)
    assert rates[-1] == pytest.approx(CONFIG.learning_rate / 100)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_settings_survive_toml(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(to_toml(CONFIG))
    assert load_toml(TrainConfig, path) == CONFIG
    path.write_text(to_toml(SMALL))
    assert load_toml(ModelConfig, path) == SMALL


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d.update(colour=1), "unknown setting 'colour'"),
        (lambda d: d.update(size="64"), "not of type int"),
        (lambda d: d.update(size=True), "not of type int"),
        (lambda d: d.update(size=70), "multiple of 16"),
        (lambda d: d.pop("persons"), "incomplete"),
        (lambda d: d.update(persons=["a"]), "two different persons"),
        (lambda d: d.update(persons=["a", "../b"]), "cannot be a person's name"),
    ],
)
def test_wrong_settings_are_refused(change: Callable[[dict[str, object]], object], complaint: str) -> None:
    values: dict[str, object] = {"persons": ["a", "b"], "size": 64}
    change(values)
    with pytest.raises(ConfigError, match=complaint):
        from_dict(ModelConfig, values, "test")
