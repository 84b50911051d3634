"""Base weights: how they are made, and that new models begin with them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from faceswap.config import PRESETS
from faceswap.errors import ConfigError, FaceError, ModelError
from faceswap.media.pictures import write_picture
from faceswap.model.base_weights import base_model, base_of, grow_weights, load_base, start_from
from faceswap.model.folder import load_model, read_config
from faceswap.model.swap_model import SwapModel, build_model, conditional
from faceswap.training.bank import Bank
from faceswap.training.base_weights.initialise import initialise_from_base
from faceswap.training.base_weights.pretraining import hold_out
from faceswap.training.held_out import held_out_loss
from faceswap.training.state import start_training
from faceswap.weights import weight_file
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import CAST, frames
from faceswap_pipelines.pretraining.job import PretrainJob
from faceswap_pipelines.pretraining.run import pretrain
from faceswap_pipelines.training.data import load_faces
from faceswap_pipelines.training.job import TrainJob
from faceswap_pipelines.training.run import train
from support.studio import DRAWN, Studio
from support.tiny import CONFIG, CPU, weights

NANO = PRESETS["nano"]


@pytest.mark.parametrize("decoder", ["separate", "conditional"])
@pytest.mark.parametrize("latent", ["plain", "vae"])
@pytest.mark.parametrize("preset", ["nano", "base"])
def test_every_kind_of_model_begins_as_the_same_persons(preset: str, latent: str, decoder: str) -> None:
    config = dataclasses.replace(PRESETS[preset], latent=latent, decoder=decoder)
    name = base_of(config)
    assert name == f"base_{preset}"
    base = load_base(name)
    codes = [base["code"] + 0.1, base["code"] - 0.1]
    model, everybody = build_model(config), base_model(config, base)
    with torch.no_grad():
        everybody.decoders.codes.copy_(torch.stack(codes))
    start_from(model, base, codes)
    faces = torch.rand(3, 3, config.size, config.size)
    with torch.no_grad():
        ours, theirs = (m.decode(m.encode(faces), "b").picture for m in (model.eval(), everybody.eval()))
    # The outermost pixels see zeros beyond the border, which cannot be scaled.
    assert torch.allclose(ours[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], atol=1e-4)


@pytest.mark.parametrize("other", [{"size": 80}, {"latent": "vq"}, {"latent_size": 64}, {"width": 16}])
def test_a_network_of_another_shape_begins_from_nothing(other: dict[str, object]) -> None:
    assert base_of(dataclasses.replace(NANO, **other)) is None  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("name", ["base_nano", "base_base"])
def test_base_weights_are_small_enough_to_ship(name: str) -> None:
    assert weight_file(name).stat().st_size <= 20e6


def test_a_larger_network_keeps_what_the_smaller_one_knows() -> None:
    base = load_base("base_nano")
    small = base_model(NANO, base).eval()
    config = dataclasses.replace(PRESETS["base"], latent="vae", decoder="conditional")
    large = build_model(config, seed=1).eval()
    code = base["code"][None]
    begun = grow_weights(base, large)
    start_from(large, begun, [base["code"]] * 2)
    seen = torch.randn(2, 32, 32, 32, generator=torch.Generator().manual_seed(0))

    def passed(model: SwapModel, first: int) -> torch.Tensor:
        """Half-size features on their way through the inside of a network that begins at stage `first`."""
        features = seen
        for stage in model.encoder.stages[first:]:
            features = stage(features)
        features = model.bottleneck.decode(model.bottleneck.encode(features))
        decoders = conditional(model)
        for stage, modulation in zip(decoders.decoder.stages[:3], decoders.modulations, strict=False):
            features = stage(modulation(features, code))
        return features

    with torch.no_grad():
        assert torch.allclose(passed(large, 2), passed(small, 1), atol=1e-5)
    with pytest.raises(ModelError, match="half the size"):
        grow_weights(begun, large)
    with pytest.raises(ModelError, match="half the size"):
        grow_weights(base, build_model(dataclasses.replace(config, max_width=128)))


def test_persons_begin_alike_to_their_faces(studio: Studio) -> None:
    faces = {person: run(load_faces(folder, 96)) for person, folder in studio.facesets.items()}
    banks = {p: Bank(theirs, 64, CONFIG, i, 0, CPU) for i, (p, theirs) in enumerate(faces.items())}
    state = start_training(NANO, CONFIG, CPU)
    before = held_out_loss(state.average, faces, CONFIG, CPU)
    done = list(initialise_from_base(state, load_base("base_nano"), banks))
    assert done == sorted(done)
    for bank in banks.values():
        bank.close()
    assert held_out_loss(state.average, faces, CONFIG, CPU) < 0.6 * before
    assert torch.equal(weights(state.model), weights(state.average))


def test_training_begins_with_them_unless_told_otherwise(studio: Studio, tmp_path: Path) -> None:
    for folder, scratch in (("base", False), ("scratch", True)):
        job = TrainJob(
            facesets=studio.facesets,
            model=tmp_path / folder,
            steps=2,
            from_scratch=scratch,
            device="cpu",
            consent=DRAWN,
        )
        run(train(job))
    assert read_config(tmp_path / "base").base == "base_nano"
    assert read_config(tmp_path / "scratch").base == ""
    assert not torch.equal(*(weights(load_model(tmp_path / name, CPU)) for name in ("base", "scratch")))
    with pytest.raises(ModelError, match="began with base weights"):
        run(
            train(TrainJob(facesets=studio.facesets, model=tmp_path / "base", steps=2, from_scratch=True, device="cpu"))
        )


def test_nobody_is_trained_on_who_is_held_out() -> None:
    persons = [0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13]
    unknown = hold_out(persons, 3)
    out = {p for p, held in zip(persons, unknown, strict=True) if held}
    assert 0 < len(out) < 14
    assert not out & {p for p, held in zip(persons, unknown, strict=True) if not held}


@pytest.fixture(autouse=True)
def few_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding a code for each of 256 pictures would take minutes; and each drawn picture shall be a person."""
    monkeypatch.setattr("faceswap_pipelines.pretraining.run._SAME", 1e-6)
    monkeypatch.setattr("faceswap_pipelines.pretraining.run._MEASURED", 2)
    monkeypatch.setattr("faceswap_pipelines.pretraining.run._SHOWN", 4)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pictures of four actors."""
    folder = tmp_path_factory.mktemp("gallery")
    for number, actor in enumerate(CAST.values()):
        for i, drawn in enumerate(frames(actor, 4, 256, seed=number)):
            write_picture(folder / f"{actor.name}{i}.png", drawn.image)
    return folder


def job(gallery: Path, out: Path, steps: int) -> PretrainJob:
    return PretrainJob(portraits=gallery, out=out, steps=steps, settings={"batch_size": 2}, device="cpu")


def test_pretraining_that_was_stopped_ends_with_the_same_weights(gallery: Path, tmp_path: Path) -> None:
    whole = run(pretrain(job(gallery, tmp_path / "whole", 4)))
    assert whole.steps == 4
    half = pretrain(job(gallery, tmp_path / "half", 4))
    for progress in half:
        if progress.title == "Learning faces" and progress.done == 2:
            break
    half.close()
    assert run(pretrain(job(gallery, tmp_path / "half", 4))).sha256 == whole.sha256
    with pytest.raises(ModelError, match="other portraits or settings"):
        run(pretrain(dataclasses.replace(job(gallery, tmp_path / "half", 4), settings={"batch_size": 3})))


def test_a_larger_preset_grows_from_the_people_of_the_smaller_one(
    gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"size": 32, "width": 8, "max_width": 32, "latent_size": 16}  # the shipped ones would take half a minute
    monkeypatch.setitem(PRESETS, "nano", dataclasses.replace(NANO, **shape))
    monkeypatch.setitem(PRESETS, "base", dataclasses.replace(PRESETS["base"], **shape | {"size": 64, "width": 4}))
    run(pretrain(job(gallery, tmp_path, 2)))
    larger = dataclasses.replace(job(gallery, tmp_path, 1), preset="base", grow="nano")
    run(pretrain(larger))
    small, large = (load_model(tmp_path / name, CPU) for name in ("nano", "base"))
    grow_weights, apart = (conditional(large).codes - codes for codes in (conditional(small).codes, 0))
    assert grow_weights.norm() < 0.2 * apart.norm()
    with pytest.raises(ModelError, match="other people"):
        shutil.rmtree(tmp_path / "base")
        run(pretrain(dataclasses.replace(larger, settings={"batch_size": 2, "seed": 1})))


def test_what_pretraining_refuses(gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(FaceError, match="no pictures"):
        run(pretrain(job(tmp_path, tmp_path / "out", 1)))
    with pytest.raises(ConfigError, match="minutes and steps"):
        run(pretrain(PretrainJob(portraits=gallery, out=tmp_path / "out")))
    with pytest.raises(ConfigError, match="no preset"):
        run(pretrain(PretrainJob(portraits=gallery, out=tmp_path / "out", preset="giant", steps=1)))
