"""Laws of the network and of each kind of autoencoder: latents, decoders, losses, critics."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.distributions import Normal, kl_divergence

from faceswap.config import DECODERS, LATENTS, PIXEL_LOSSES, PRESETS, ModelConfig
from faceswap.errors import ModelError
from faceswap.model.blocks import Upsample
from faceswap.model.bottleneck import CodeAssignment, Encoded
from faceswap.model.detail import face_window
from faceswap.model.encoder import smallest_side
from faceswap.model.folder import read_tensors
from faceswap.model.prior import Prior
from faceswap.model.quantised import Codebook, straight_through
from faceswap.model.swap_model import Decoded, SwapModel, build_model
from faceswap.model.variational import kl_to_standard_normal
from faceswap.training.bank import Batch
from faceswap.training.critics import PatchDiscriminator, Perceptual, pairs_of
from faceswap.training.losses import (
    latent_penalty,
    log_likelihood,
    reconstruction_losses,
    ssim_map,
    weighted_mean,
)
from faceswap.training.preview import preview_rows
from faceswap.training.ranks import Ranks
from faceswap.training.state import start_training
from faceswap_pipelines.demo.actors import LEADS, frames
from support.tiny import CONFIG, CPU, SMALL, open_banks, run_steps, weights

ONE = torch.ones(())


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoded(model: SwapModel, faces: torch.Tensor) -> Encoded:
    features = model.encoder(faces * 2 - 1)
    passed: Encoded = model.bottleneck(features, torch.randn(len(faces), model.bottleneck.length, generator=rng()))
    return passed


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("latent", LATENTS)
def test_every_kind_has_the_same_interface(latent: str, decoder: str) -> None:
    model = build_model(dataclasses.replace(SMALL, persons=("a", "b", "carol"), latent=latent, decoder=decoder)).eval()
    faces = torch.rand(3, 3, 32, 32)
    code = model.encode(faces)
    assert code.shape == (3, model.bottleneck.length)
    assert torch.equal(model.encode(faces), code), "encoding a face leaves nothing to chance"
    passed = encoded(model, faces)
    assert passed.latent.shape == code.shape
    for person in model.config.persons:
        decoded = model.decode(code, person)
        assert decoded.picture.shape == (3, 3, 32, 32)
        assert decoded.mask.shape == (3, 1, 32, 32)
        assert torch.equal(decoded.picture, model.decode(code, "a").picture), "all persons start alike"
    with pytest.raises(KeyError):
        model.decode(code, "dora")
    if model.bottleneck.generative:
        drawn = model.bottleneck.sample(5, rng())
        assert drawn.shape == (5, model.bottleneck.length)
        assert torch.equal(drawn, model.bottleneck.sample(5, rng()))
    else:
        with pytest.raises(ModelError, match="no distribution"):
            model.bottleneck.sample(5, rng())


@pytest.mark.parametrize("size", [32, 48, 64, 80, 96, 128, 144, 256, 384])
def test_every_size_comes_out_as_it_went_in(size: int) -> None:
    config = ModelConfig(persons=("a", "b"), size=size, width=4, max_width=16, latent_size=8, tokens=2)
    model = build_model(config)
    decoded = model.decode(model.encode(torch.rand(2, 3, size, size)), "b")
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
    out = Upsample(6, 5)(torch.randn(1, 6, 7, 7))
    blocks = out.unfold(2, 2, 2).unfold(3, 2, 2)
    torch.testing.assert_close(blocks, blocks[..., :1, :1].expand_as(blocks))


def test_seeds_matter() -> None:
    assert not torch.equal(weights(build_model(SMALL, seed=4)), weights(build_model(SMALL, seed=3)))
    assert torch.equal(weights(build_model(SMALL, seed=3)), weights(build_model(SMALL, seed=3)))


def test_the_kl_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(50, generator=rng()), torch.randn(50, generator=rng(1))
    expected = kl_divergence(Normal(mean, torch.exp(0.5 * log_variance)), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)
    assert float(kl_to_standard_normal(torch.zeros(1), torch.zeros(1))) == 0


def test_a_draw_has_the_mean_and_the_deviation_that_the_encoder_says_and_passes_gradients() -> None:
    bottleneck = build_model(dataclasses.replace(SMALL, latent="vae")).bottleneck
    torch.nn.init.normal_(bottleneck.log_variance.weight, std=0.02)
    features = torch.randn(1, *bottleneck.shape, generator=rng())
    mean, log_variance = bottleneck.distribution(features)
    many = features.expand(20_000, -1, -1, -1)
    drawn = bottleneck(many, torch.randn(20_000, bottleneck.length, generator=rng(1))).latent
    torch.testing.assert_close(drawn.mean(dim=0), mean[0], atol=0.05, rtol=0.05)
    torch.testing.assert_close(drawn.std(dim=0), torch.exp(0.5 * log_variance[0]), atol=0.05, rtol=0.05)
    drawn.square().mean().backward()
    assert float(bottleneck.mean.weight.grad.abs().sum()) > 0
    assert float(bottleneck.log_variance.weight.grad.abs().sum()) > 0


def test_the_kl_term_is_summed_over_the_latent_averaged_over_the_batch_and_spares_free_bits() -> None:
    model = build_model(dataclasses.replace(SMALL, latent="vae"))
    faces = torch.rand(6, 3, 32, 32)
    mean, log_variance = model.bottleneck.distribution(model.encoder(faces * 2 - 1))
    expected = kl_divergence(Normal(mean, torch.exp(0.5 * log_variance)), Normal(0.0, 1.0)).sum(dim=1).mean()
    penalties = encoded(model, faces).penalties
    torch.testing.assert_close(latent_penalty(penalties, CONFIG, ONE, 1), expected)
    torch.testing.assert_close(latent_penalty(penalties, CONFIG, 3 * ONE, 10), 0.3 * expected)
    generous = dataclasses.replace(CONFIG, free_bits=100.0)
    free = latent_penalty(penalties, generous, ONE, 1)
    torch.testing.assert_close(free, torch.tensor(100.0 * SMALL.latent_size))
    assert not torch.autograd.grad(free, model.bottleneck.mean.weight, retain_graph=True)[0].any()


def test_the_lower_bound_is_the_likelihood_minus_the_divergence() -> None:
    for latent, rate in (("vae", "kl"), ("vq2", "prior"), ("plain", "")):
        state = start_training(dataclasses.replace(SMALL, latent=latent), CONFIG, CPU)
        with open_banks() as banks:
            batches = {person: bank.batch(0) for person, bank in banks.items()}
        outcome = state.objective(batches, torch.randn(8, state.model.bottleneck.length), ONE)
        likelihood = [log_likelihood(outcome.decoded[p], batch.target, CONFIG) for p, batch in batches.items()]
        if rate:
            expected = torch.stack(likelihood).mean() - outcome.latent[rate]
            torch.testing.assert_close(outcome.latent["elbo"], expected)
        else:
            assert "elbo" not in outcome.latent


@pytest.mark.parametrize("kind", ["l1", "mse"])
def test_likelihoods_are_those_of_torch_at_the_most_likely_scale(kind: str) -> None:
    picture, target = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    decoded = Decoded(picture, torch.ones(4, 1, 8, 8), torch.logit(picture))
    error = picture - target
    noise: torch.distributions.Distribution
    if kind == "l1":
        noise = torch.distributions.Laplace(picture, error.abs().mean())
    else:
        noise = Normal(picture, error.square().mean().sqrt())
    expected = noise.log_prob(target).sum(dim=(1, 2, 3)).mean()
    got = log_likelihood(decoded, target, dataclasses.replace(CONFIG, pixel_loss=kind))
    torch.testing.assert_close(got, expected)


def test_weighting_the_divergence_more_makes_it_smaller() -> None:
    """beta up, KL down."""
    divergences = []
    for beta in (0.0, 10.0, 1000.0):
        config = dataclasses.replace(CONFIG, beta=beta, kl_warmup_steps=0)
        state = start_training(dataclasses.replace(SMALL, latent="vae"), config, CPU)
        divergences.append(float(run_steps(state, 60)[-1].latent["kl"]))
    assert divergences[0] > 1.5 * divergences[1] > 2 * divergences[2]


def test_paying_for_activations_makes_a_latent_sparse() -> None:
    active = []
    for weight in (0.0, 1.0, 30.0):
        config = dataclasses.replace(CONFIG, sparsity=weight)
        state = start_training(dataclasses.replace(SMALL, latent="sparse", latent_size=64), config, CPU)
        active.append(float(run_steps(state, 60)[-1].latent["active"]))
    assert active[0] > active[1] > active[2]


def test_the_gradient_goes_straight_through_the_codebook() -> None:
    said = torch.randn(3, 8, requires_grad=True)
    meant = torch.randn(3, 8)
    through = straight_through(said, meant)
    torch.testing.assert_close(through, meant)
    pull = torch.randn(3, 8)
    (through * pull).sum().backward()
    assert said.grad is not None
    torch.testing.assert_close(said.grad, pull)


@pytest.mark.parametrize("latent", ["vq", "vq2"])
def test_a_quantised_latent_is_made_of_entries_and_pays_for_the_way_to_them(latent: str) -> None:
    model = build_model(dataclasses.replace(SMALL, latent=latent))
    model.bottleneck.update_codebooks(encoded(model, torch.rand(8, 3, 32, 32)).assigned, rng())
    passed = encoded(model, torch.rand(4, 3, 32, 32))
    books = model.bottleneck.books
    for book, assigned in zip(books, passed.assigned, strict=True):
        distances = torch.cdist(assigned.vectors[None], book.entries[None])[0]
        torch.testing.assert_close(distances.gather(1, assigned.codes[:, None])[:, 0], distances.min(dim=1).values)
    entries = torch.cat([b.look_up(a.codes).reshape(4, -1) for b, a in zip(books, passed.assigned, strict=True)], 1)
    torch.testing.assert_close(passed.latent, entries)
    passed.penalties["commitment"].backward()
    assert all(level.weight.grad is not None for level in model.bottleneck.shrink)


def test_a_codebook_finds_clusters_revives_dead_entries_and_counts_its_words() -> None:
    centres = 5 * torch.randn(6, 4, generator=rng(1))
    book = Codebook(12, 4)
    torch.nn.init.constant_(book.entries, 1e3)  # all far away from everything: all dead
    for step in range(300):
        chance = rng(step)
        chosen = torch.randint(6, (64,), generator=chance)
        vectors = centres[chosen] + 0.05 * torch.randn(64, 4, generator=chance)
        book.learn(CodeAssignment(vectors, book.nearest(vectors)), chance)
    nearest = torch.cdist(centres[None], book.entries[None])[0].min(dim=1).values
    assert float(nearest.max()) < 0.2
    assert 5 < float(book.perplexity()) <= 12


def test_perplexity_is_the_number_of_words_in_use() -> None:
    book = Codebook(8, 2)
    book.usage.copy_(torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0]))
    assert float(book.perplexity()) == pytest.approx(4)
    book.usage.copy_(torch.tensor([5.0, 0, 0, 0, 0, 0, 0, 0]))
    assert float(book.perplexity()) == pytest.approx(1, abs=1e-5)


def test_vectors_that_are_no_numbers_teach_a_codebook_nothing() -> None:
    book = Codebook(8, 2)
    before = book.entries.clone(), book.usage.clone()
    book.learn(CodeAssignment(torch.full((3, 2), torch.nan), torch.zeros(3, dtype=torch.long)), rng())
    assert torch.equal(book.entries, before[0])
    assert torch.equal(book.usage, before[1])


def test_the_prior_looks_back_only_learns_what_follows_what_and_draws_it() -> None:
    torch.manual_seed(0)
    prior = Prior(5, (3, 3))
    codes = torch.randint(5, (2, 6), generator=rng())
    other = codes.clone()
    other[:, 4] = (other[:, 4] + 1) % 5
    one, two = prior._logits(codes[:, :-1]), prior._logits(other[:, :-1])
    torch.testing.assert_close(one[:, :5], two[:, :5])
    assert not torch.allclose(one[:, 5:], two[:, 5:])

    optimizer = torch.optim.AdamW(prior.parameters(), lr=3e-3)
    for step in range(150):  # a language of two sentences
        start = torch.randint(2, (16, 1), generator=rng(step))
        optimizer.zero_grad()
        cost = prior((start + torch.arange(6)) % 5)
        cost.backward()
        optimizer.step()
    assert float(cost.detach()) == pytest.approx(0.693, abs=0.2), "a sentence costs the logarithm of 2"
    drawn = prior.sample(20, rng())
    assert (((drawn[:, 1:] - drawn[:, :-1]) % 5) == 1).float().mean() > 0.9
    assert set(drawn[:, 0].tolist()) == {0, 1}


def test_a_conditional_decoder_tells_persons_apart_by_their_codes() -> None:
    state = start_training(dataclasses.replace(SMALL, decoder="conditional"), CONFIG, CPU)
    run_steps(state, 40)
    latent = state.model.encode(torch.rand(2, 3, 32, 32))
    one, two = (state.model.decode(latent, person).picture for person in ("a", "b"))
    assert float((one - two).abs().mean().detach()) > 0.01
    decoder = state.model.decoders
    decoder.codes.data[1] = decoder.codes.data[0]
    assert torch.equal(state.model.decode(latent, "b").picture, one)


def test_previews_show_every_person_as_everybody_and_faces_drawn_from_the_latent_space() -> None:
    persons = ("a", "b", "c")
    for latent, drawn in (("plain", 0), ("vae", 3), ("vq2", 3)):
        model = dataclasses.replace(SMALL, persons=persons, latent=latent)
        with open_banks(model=model) as banks:
            titles = [title for title, _ in preview_rows(build_model(model).eval(), banks, {"a": "Ada"})]
        names = ("Ada", "b", "c")
        swaps = [f"{p} with the face of {q}" for p in names for q in names if p != q]
        assert titles[:3] == ["Ada as filmed", *swaps[:2]]  # before all that is only rebuilt
        assert [title for title in titles[:9] if "with" in title] == swaps
        assert {f"{p} rebuilt" for p in names} <= set(titles)
        assert titles[-1] == "masks, from above: Ada, b, c"
        assert sum("drawn" in title for title in titles) == drawn


def batch_of(target: torch.Tensor) -> Batch:
    return Batch(
        input=target, target=target, mask=torch.ones_like(target[:, :1]), features=torch.zeros_like(target[:, :1])
    )


def decoded_as(picture: torch.Tensor) -> Decoded:
    return Decoded(picture, torch.ones_like(picture[:, :1]), torch.logit(picture, eps=1e-6))


@pytest.mark.parametrize("kind", PIXEL_LOSSES)
def test_no_picture_costs_less_than_the_target_itself(kind: str) -> None:
    config = dataclasses.replace(CONFIG, pixel_loss=kind, structure_weight=0.0)
    target = torch.rand(2, 3, 16, 16, generator=rng()) * 0.9 + 0.05
    best = reconstruction_losses(decoded_as(target), batch_of(target), config)
    for seed in range(5):
        other = (target + 0.05 * torch.randn(target.shape, generator=rng(seed))).clamp(0.01, 0.99)
        assert reconstruction_losses(decoded_as(other), batch_of(target), config).total > best.total
    if kind == "bce":
        entropy = -(target * target.log() + (1 - target) * (1 - target).log()).mean()
        torch.testing.assert_close(best.pixel, entropy)
    else:
        assert float(best.total) == 0


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
    target = torch.rand(1, 3, 32, 32)
    mask, features = torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    features[..., 4:12, 4:12] = 1
    batch = Batch(input=target, target=target, mask=mask, features=features)
    perfect = reconstruction_losses(Decoded(target, mask, target), batch, CONFIG)
    assert float(perfect.total) < 1e-3

    def with_fault(top: int, left: int) -> float:
        wrong = target.clone()
        wrong[..., top : top + 8, left : left + 8] = 1 - wrong[..., top : top + 8, left : left + 8]
        return float(reconstruction_losses(Decoded(wrong, mask, wrong), batch, CONFIG).pixel)

    assert with_fault(4, 4) > 2 * with_fault(20, 20)


def test_the_mean_of_two_half_batches_is_that_of_the_whole() -> None:
    values, weight = torch.rand(6, 1, 4, 4), torch.rand(6, 1, 4, 4)
    halves = [weighted_mean(values[i : i + 3], weight[i : i + 3]) for i in (0, 3)]
    torch.testing.assert_close(torch.stack(halves).mean(), weighted_mean(values, weight))


def test_a_discriminator_learns_to_tell_and_pulls_towards_the_truth() -> None:
    config = dataclasses.replace(CONFIG, adversarial=1.0, adversarial_from=0.5)
    adversary = PatchDiscriminator(config, ("a", "b"), CPU, Ranks())
    true = torch.rand(8, 3, 32, 32, generator=rng())
    false = torch.nn.functional.avg_pool2d(true, 5, 1, 2)
    assert float(adversary.loss({"b": (false, true)}, 0.4)) == 0
    for _ in range(60):
        adversary.learn({"b": (false, true)}, 0.6)
    blurred, sharp = (adversary.loss({"b": (x, true)}, 0.6) for x in (false, true))
    assert blurred > sharp + 0.5
    kept = {name: value.clone() for name, value in adversary.tensors().items()}
    again = PatchDiscriminator(config, ("a", "b"), CPU, Ranks())
    again.restore(kept)
    assert torch.equal(again.loss({"b": (false, true)}, 0.6), blurred)


def test_the_perceptual_loss_minds_blur_more_than_brightness() -> None:
    critic = Perceptual(2.0, CPU)
    face = next(iter(frames(LEADS[0], 1, 128))).image
    true = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255
    assert not critic.loss({"a": (true, true)}, 0.0).any()
    blurred = torch.nn.functional.avg_pool2d(true, 5, 1, 2, count_include_pad=False)
    brighter = true + (blurred - true).abs().mean()  # as far away, pixel by pixel
    blur, light = (critic.loss({"a": (other, true)}, 0.0) for other in (blurred, brighter))
    assert blur > 2 * light > 0
    wrong = blurred.clone().requires_grad_()
    critic.loss({"a": (wrong, true)}, 0.0).backward()
    assert wrong.grad is not None
    assert wrong.grad.abs().sum() > 0


def test_critics_see_the_same_part_of_a_face_and_its_target() -> None:
    mask = torch.ones(6, 1, 240, 192)
    batch = Batch(
        input=torch.rand(6, 3, 64, 64),
        target=torch.rand(6, 3, 240, 192),
        mask=mask,
        features=mask,
        window=face_window(64),
    )
    seen = [pairs_of({"a": Decoded(batch.target, mask, batch.target)}, {"a": batch}, step)["a"] for step in range(3)]
    for ours, theirs in seen:
        assert torch.equal(ours, theirs)
        assert ours.shape == (3, 3, 96, 96)
    assert not torch.equal(seen[0][0], seen[1][0])


def test_weights_of_before_are_read_by_the_names_of_today(tmp_path: Path) -> None:
    today = build_model(dataclasses.replace(SMALL, latent="vq")).state_dict()
    before = {"qkv": "ask", "proj": "gather", "mlp": "think"}
    renamed = {re.sub(r"\b(qkv|proj|mlp)\b", lambda name: before[name[0]], key): value for key, value in today.items()}
    assert renamed.keys() != today.keys()
    save_file(renamed, tmp_path / "weights.safetensors")
    assert read_tensors(tmp_path / "weights.safetensors").keys() == today.keys()


COMPILED = """
import dataclasses, sys, torch
from faceswap.config import DECODERS, LATENTS, ModelConfig, TrainConfig
from faceswap.training.bank import Bank
from faceswap.training.stages import coarse_only
from faceswap.training.state import Budget, start_training
from faceswap.training.step import train

cpu, config = torch.device("cpu"), TrainConfig(batch_size=2)
faces = torch.randint(0, 255, (4, 5, 48, 48), dtype=torch.uint8)
for latent in LATENTS:
    torch.compiler.reset()
    decoder = DECODERS[len(latent) % 2]
    small = {"size": 32, "width": 8, "max_width": 16, "latent_size": 16, "tokens": 4}
    model = ModelConfig(persons=("a", "b"), **small, latent=latent, decoder=decoder)
    state = start_training(model, config, cpu)
    state.objective.compile(fullgraph=True, dynamic=False, backend="eager")
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    banks = {p: Bank(faces, 32, config, i, 0, cpu) for i, p in enumerate("ab")}
    for metrics in train(state, coarse_only(state.model.config, banks), Budget(steps=3)):
        pass
    for bank in banks.values():
        bank.close()
    print(latent, torch._dynamo.utils.counters["stats"]["unique_graphs"] - before)
"""


def test_the_objective_of_every_kind_is_one_graph() -> None:
    """No graph breaks (fullgraph raises), and no second graph for later steps."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [word for latent in LATENTS for word in (latent, "1")]
