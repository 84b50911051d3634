"""Laws of the latent's tools, and every command once on the drawn actors."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import types
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from faceswap.config import LATENTS, TrainConfig
from faceswap.errors import ConfigError, ModelError
from faceswap.faces.faceset import Faceset
from faceswap.latent import decode, decode_between, encode, interpolate, read_faces, sample
from faceswap.latent.clusters import METHODS, agreement, clustered
from faceswap.latent.disentanglement import dci, mutual_information_gaps
from faceswap.latent.gaussian import fit_gaussian
from faceswap.latent.probes import Target, label_counts, labelled, score, split_by_time
from faceswap.latent.projection import manifold_map, neighbour_map, principal_components
from faceswap.latent.spectrum import BookUse, active_units, book_use, evidence, kl_by_number
from faceswap.latent.walk import number_directions, picture_changes, walk
from faceswap.media.pictures import read_picture
from faceswap.media.video import probe as probe_video
from faceswap.model.swap_model import SwapModel, build_model
from faceswap.visuals.plots import thumbnail_map
from faceswap_app.desk import open_desk
from faceswap_app.projects import Projects
from faceswap_app.queue import Queue
from faceswap_app.tab_latent import LatentTab
from faceswap_cli.main import app
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import perform
from faceswap_pipelines.verification import verify
from support.studio import Studio
from support.tiny import SMALL

FRAMES = 400


def model_of(latent: str, decoder: str = "separate") -> SwapModel:
    """A network whose persons are not alike, as if it had been trained."""
    model = build_model(dataclasses.replace(SMALL, latent=latent, decoder=decoder)).eval().requires_grad_(False)
    other = build_model(dataclasses.replace(SMALL, latent=latent, decoder=decoder), seed=1)
    if decoder == "separate":
        model.decoders["b"].load_state_dict(other.decoders["b"].state_dict())  # type: ignore[index]
    else:
        model.decoders.load_state_dict(other.decoders.state_dict())
        for modulation in model.decoders.modulations:  # type: ignore[union-attr]
            torch.nn.init.normal_(modulation.read.weight, std=0.3)  # type: ignore[union-attr,arg-type]
    return model


def noise_pictures(count: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.fixture(scope="module")
def factors() -> dict[str, np.ndarray]:
    """What a drawn actor truly does in each frame."""
    done = [perform(index, seed=0) for index in range(FRAMES)]
    return {name: np.array([getattr(one, name) for one in done]) for name in ("yaw", "pitch", "jaw", "smile")}


@pytest.mark.parametrize("latent", LATENTS)
def test_arrays_pass_the_model_as_tensors_do(latent: str) -> None:
    model, pictures = model_of(latent), noise_pictures(70)
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    codes = encode(model, pictures)
    np.testing.assert_allclose(codes, model.encode(batch).numpy(), atol=1e-4)
    drawn = decode(model, codes, "b", detail=False)
    np.testing.assert_allclose(
        drawn[3:5] / 255, model.decode(model.encode(batch), "b").picture[3:5].permute(0, 2, 3, 1), atol=3e-3
    )


@pytest.mark.parametrize("decoder", ["separate", "conditional"])
def test_between_two_persons_lie_both_of_them(decoder: str) -> None:
    model, codes = model_of("plain", decoder), np.zeros((3, SMALL.latent_size), np.float32)
    codes += np.linspace(-1, 1, SMALL.latent_size, dtype=np.float32)
    drawn = decode_between(model, codes, ("a", "b"), np.array([0.0, 0.5, 1.0]))
    first, last = (decode(model, codes[:1], person)[0] for person in "ab")
    np.testing.assert_array_equal(drawn[0], first)
    np.testing.assert_array_equal(drawn[2], last)
    assert np.abs(drawn[1].astype(int) - first).max() > 0
    assert np.abs(drawn[1].astype(int) - last).max() > 0
    np.testing.assert_array_equal(decode(model, codes[:1], "a")[0], first)  # the model itself stays as it was


def test_interpolation_ends_where_it_should_and_keeps_its_length_on_the_sphere() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal(256).astype(np.float32) for _ in range(2))
    shares = np.linspace(0, 1, 5)
    for spherical in (False, True):
        between = interpolate(first, second, shares, spherical=spherical)
        np.testing.assert_allclose(between[[0, -1]], [first, second], atol=1e-5)
    straight, round_ = (interpolate(first, second, shares, spherical=way) for way in (False, True))
    lengths = np.linalg.norm([first, second], axis=1)
    assert np.linalg.norm(straight[2]) < 0.8 * lengths.min()
    np.testing.assert_allclose(np.linalg.norm(round_, axis=1), np.interp(shares, [0, 1], lengths), rtol=1e-5)
    np.testing.assert_allclose(interpolate(first, first, shares, spherical=True), np.tile(first, (5, 1)), atol=1e-6)


def test_temperature_scales_a_normal_prior_and_sharpens_that_of_words() -> None:
    vae = model_of("vae")
    np.testing.assert_allclose(sample(vae, 8, temperature=0.5), 0.5 * sample(vae, 8), rtol=1e-6)
    vq = model_of("vq")
    assert len(np.unique(sample(vq, 8), axis=0)) == 8
    assert len(np.unique(sample(vq, 8, temperature=1e-4), axis=0)) == 1, "the likeliest words only"
    with pytest.raises(ConfigError):
        sample(vae, 1, temperature=0)
    with pytest.raises(ModelError):
        sample(model_of("plain"), 1)


def test_a_fitted_gaussian_draws_codes_like_those_it_was_fitted_to() -> None:
    rng = np.random.default_rng(0)
    codes = (rng.standard_normal((4000, 3)) @ np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 0.2]]) + 5).astype(
        np.float32
    )
    drawn = fit_gaussian(codes).sample(20_000)
    np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), atol=0.15)


def test_numbers_that_are_factors_score_above_mixtures_of_them(factors: dict[str, np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    standard = np.stack([(v - v.mean()) / v.std() for v in factors.values()], axis=1)
    aligned = np.hstack([standard, rng.standard_normal((FRAMES, 4))])
    turn, _ = np.linalg.qr(rng.standard_normal((8, 8)))
    mixed = aligned @ turn

    gaps, mixed_gaps = mutual_information_gaps(aligned, factors), mutual_information_gaps(mixed, factors)
    assert [gap.number for gap in gaps.values()] == [0, 1, 2, 3]
    assert all(gaps[name].gap > mixed_gaps[name].gap + 0.2 for name in factors)
    assert gaps["yaw"].information > 0.95

    tidy, untidy = dci(aligned, factors), dci(mixed, factors)
    assert tidy.disentanglement > 0.95 > 0.6 > untidy.disentanglement
    assert tidy.completeness > 0.95 > 0.7 > untidy.completeness
    assert min(tidy.informativeness, untidy.informativeness) > 0.9, "what is mixed is not lost"
    nothing = dci(np.zeros((FRAMES, 8)), factors)
    assert (nothing.disentanglement, nothing.completeness, nothing.informativeness) == (0, 0, 0)


@pytest.mark.parametrize("method", METHODS)
def test_groups_that_lie_apart_are_found(method: str) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [30, 60, 45])
    centres = 12 * rng.standard_normal((3, 20))
    codes = (centres[truth] + rng.standard_normal((135, 20))).astype(np.float32)
    labels = clustered(codes, 3, method)
    assert agreement(labels, truth).ari == 1
    assert [int((labels == number).sum()) for number in (1, 2, 3)] == [60, 45, 30]
    assert abs(agreement(rng.permutation(labels), truth).ari) < 0.1


def test_nothing_near_in_time_lies_on_both_sides() -> None:
    sources = np.repeat([4, 9], [300, 200])
    seconds = np.concatenate([np.arange(300), np.arange(200)]) / 25
    split = split_by_time(sources, seconds)
    assert min(len(split.train), len(split.held_out)) > 100
    for source in (4, 9):
        train, held_out = (seconds[side[sources[side] == source]] for side in (split.train, split.held_out))
        assert np.abs(train[:, None] - held_out[None]).min() > 0.3
    pictures = split_by_time(np.arange(30), np.zeros(30))
    assert (len(pictures.train), len(pictures.held_out)) == (20, 10)


def test_a_probe_finds_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, 20))
    split = split_by_time(np.zeros(400, int), np.arange(400) / 5)
    there = Target(name="sum", values=features[:, :3].sum(axis=1))
    absent = Target(name="noise", values=rng.standard_normal(400))
    assert score(features, there, labelled(there, split, 200, 0), split) > 0.98
    assert score(features, absent, labelled(absent, split, 200, 0), split) < 0.1

    kinds = Target(name="sign", values=(features[:, 0] > 1.2).astype(float), classes=("no", "yes"))
    chosen = labelled(kinds, split, 6, 0)
    assert kinds.values[chosen].sum() == 3, "of each class as many"
    assert score(features, kinds, split.train, split) > 0.95
    assert label_counts(376) == [5, 10, 20, 50, 100, 200, 376]
    assert label_counts(12) == [5, 12]


def test_principal_components_are_at_right_angles_and_leave_nothing_out() -> None:
    codes = np.random.default_rng(0).standard_normal((50, 6)) * np.array([5, 4, 3, 2, 1, 0.5])
    principal = principal_components(codes, 6)
    np.testing.assert_allclose(principal.directions @ principal.directions.T, np.eye(6), atol=1e-9)
    np.testing.assert_allclose(principal.mean + principal.coordinates(codes) @ principal.directions, codes, atol=1e-9)
    assert principal.explained.sum() == pytest.approx(1)
    assert (np.diff(principal.deviations) <= 0).all()


def test_umap_keeps_neighbours_or_says_how_to_get_it() -> None:
    kinds = np.repeat([0, 1], 30)
    codes = (np.random.default_rng(0).standard_normal((60, 10)) + 20 * kinds[:, None]).astype(np.float32)
    if find_spec("umap") is None:
        with pytest.raises(ConfigError, match="--extra umap"):
            manifold_map(codes)
        return
    places = manifold_map(codes)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(60)
    assert (kinds[apart.argmin(axis=1)] == kinds).all()


def test_neighbours_stay_neighbours_on_a_map_and_thumbnails_lie_where_their_faces_do() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1], 40)
    codes = (rng.standard_normal((80, 10)) + 20 * kinds[:, None]).astype(np.float32)
    places = neighbour_map(codes)
    np.testing.assert_array_equal(places, neighbour_map(codes))
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(80)
    assert (kinds[apart.argmin(axis=1)] == kinds).all()

    pictures = np.full((80, 16, 16, 3), 255, np.uint8)
    pictures[kinds == 1] = 0
    drawn = thumbnail_map(places, kinds, pictures, 400)
    shown = [drawn.picture[round(y), round(x)].tolist() for x, y in drawn.places]
    assert [255] * 3 in [shown[i] for i in np.flatnonzero(kinds == 0)]
    assert [0] * 3 in [shown[i] for i in np.flatnonzero(kinds == 1)]
    assert [0] * 3 not in [shown[i] for i in np.flatnonzero(kinds == 0)]


def test_a_walk_starts_where_it_should_and_numbers_that_say_nothing_change_nothing() -> None:
    model = model_of("plain")
    codes = np.random.default_rng(0).standard_normal((20, SMALL.latent_size)).astype(np.float32)
    codes[:, 5] = 1.0
    directions = number_directions(codes)
    np.testing.assert_array_equal(walk(codes[0], directions.steps[2], np.array([-1.0, 0.0, 1.0]))[1], codes[0])
    changes = picture_changes(model, "a", codes[0], directions, 2.0)
    assert changes[5] == 0
    assert np.delete(changes, 5).min() > 0


def test_the_spectrum_is_that_of_the_bottleneck() -> None:
    model, pictures = model_of("vae"), noise_pictures(20)
    torch.nn.init.normal_(model.bottleneck.log_variance.weight, std=0.05)  # type: ignore[union-attr,arg-type]
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    terms = model.bottleneck(model.encoder(batch * 2 - 1), torch.zeros(20, SMALL.latent_size)).penalties
    np.testing.assert_allclose(kl_by_number(model, pictures), terms["kl"].numpy(), rtol=1e-4)

    bound = evidence(model, pictures, "a", TrainConfig())
    assert bound is not None
    assert bound.rate == pytest.approx(float(terms["kl"].sum()), rel=1e-4)
    assert bound.elbo == pytest.approx(bound.likelihood - bound.rate)
    assert evidence(model_of("plain"), pictures, "a", TrainConfig()) is None

    codes = np.zeros((50, SMALL.latent_size), np.float32)
    codes[:, :3] = np.random.default_rng(0).standard_normal((50, 3))
    codes[:, 3] = 0.05 * codes[:, 0]
    assert active_units(model, codes) == 3, "a variance of 0.0025 is no activity"


@pytest.mark.parametrize(("latent", "books"), [("vq", 1), ("vq2", 2), ("plain", 0)])
def test_words_are_counted(latent: str, books: int) -> None:
    model = model_of(latent)
    uses = book_use(model, encode(model, noise_pictures(30)))
    assert len(uses) == books
    if books:
        assert [int(use.counts.sum()) for use in uses] == [30 * tokens for tokens in model.bottleneck.tokens]
    assert BookUse(counts=np.array([3, 3, 0, 3])).perplexity == pytest.approx(3)
    assert BookUse(counts=np.array([0, 9])).perplexity == 1


def test_facesets_are_read_as_they_are(studio: Studio) -> None:
    faces = read_faces(studio.facesets["a"], 48)
    with Faceset.open(studio.facesets["a"]) as faceset:
        records = faceset.records(kept_only=True)
    assert faces.files == tuple(record.file for record in records)
    assert faces.pictures.shape == (len(records), 48, 48, 3)
    np.testing.assert_allclose(faces.measures["yaw"], [record.measures.yaw for record in records])
    few = read_faces(studio.facesets["a"], 48, most=5)
    assert [few.files[0], few.files[-1]] == [faces.files[0], faces.files[-1]]
    assert len(few) == 5


# The commands.


def command(*words: object) -> dict[str, Any]:
    """Run `faceswap latent ... --json`; what it prints."""
    done = CliRunner().invoke(app, ["latent", *map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture
def words(studio: Studio) -> list[object]:
    """Model and facesets, as a command takes them."""
    return [studio.model, *(f"{name}={folder}" for name, folder in studio.facesets.items())]


def test_map(words: list[object], tmp_path: Path) -> None:
    result = command("map", *words, "--out", tmp_path / "map.png", "--faces", 60)
    assert result["faces"] == {"a": 30, "b": 30}
    assert 0.5 < sum(result["explained"]) <= 1
    assert read_picture(tmp_path / "map.png").std() > 10


def test_walk_and_spectrum(words: list[object], tmp_path: Path) -> None:
    for extra in ([], ["--pca"]):
        result = command("walk", *words, "--rows", 2, "--out", tmp_path / "walk.png", *extra)
        pixels = [row["pixels"] for row in result["rows"]]
        assert pixels == sorted(pixels, reverse=True)
        assert pixels[0] > 0
        assert 0 <= result["mig"] <= 1
    [report] = run(verify([tmp_path / "walk.png"]))
    assert report.says_ai, "a sheet of drawn faces is marked"

    result = command("spectrum", *words, "--out", tmp_path / "spectrum.png")
    assert (result["kind"], result["numbers"]) == ("plain", 256)
    assert (result["kl"], result["books"], result["bounds"]) == ([], [], {})


def test_cluster_leaves_a_group_out_and_that_can_be_taken_back(
    words: list[object], studio: Studio, tmp_path: Path
) -> None:
    def kept() -> int:
        return sum(len(read_faces(folder, 16)) for folder in studio.facesets.values())

    before = kept()
    result = command("cluster", *words, "--groups", 4, "--out", tmp_path / "cluster.png", "--reject", 1)
    largest = sum(result["groups"][0]["faces"].values())
    try:
        assert set(result["agreements"]) == set(METHODS)
        assert sum(result["rejected"].values()) == largest
        assert kept() == before - largest
    finally:
        for name in result["rejected"]:
            with Faceset.open(studio.facesets[name]) as faceset:
                assert faceset.undo() is not None
    assert kept() == before


def test_probe_measures_persons_and_labels_of_ones_own(words: list[object], studio: Studio, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "probe.png", "--seeds", 1]
    result = command("probe", *words, *out, "--target", "yaw")
    assert set(result["curves"]) == {"codes", "pixels", "untrained encoder"}
    assert result["curves"]["codes"]["mean"][-1] > 0.3, "which way a face looks lies in its codes"

    faces = read_faces(studio.facesets["a"], 16)
    left = faces.measures["yaw"] < np.median(faces.measures["yaw"])
    table = tmp_path / "side.csv"
    lines = [f"{name},{'left' if side else 'right'}" for name, side in zip(faces.files, left, strict=True)]
    table.write_text("\n".join(["file,label", *lines]))
    result = command("probe", *words, *out, "--labels", table)
    assert (result["target"], result["score"]) == ("side", "accuracy")
    assert result["learnt_from"] + result["held_out"] < len(faces), "some are too near to those held out"

    for name, side in zip(faces.files, left, strict=True):
        folder = tmp_path / "side" / ("left" if side else "right")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / Path(name).name).touch()
    sorted_by_hand = command("probe", *words, *out, "--labels", tmp_path / "side")
    assert sorted_by_hand == result, "folders say what a table says"

    result = command("probe", *words, *out, "--target", "person", "--fine-tune")
    assert result["curves"]["codes, encoder fine-tuned"]["mean"][-1] > 0.8


def test_sample_needs_a_prior_or_makes_one(words: list[object], tmp_path: Path) -> None:
    refused = CliRunner().invoke(app, ["latent", "sample", str(words[0])])
    assert refused.exit_code == 3
    assert "--fit" in refused.output
    result = command("sample", *words, "--fit", "--count", 2, "--out", tmp_path / "sample.png")
    assert set(result["persons"]) == {"a", "b"}
    assert all(drawn["spread"] > 0 for drawn in result["persons"].values())


def test_morph_is_a_film_with_all_marks(studio: Studio, tmp_path: Path) -> None:
    first, *_, last = read_faces(studio.facesets["a"], 16).files
    faces = [studio.facesets["a"] / "faces" / name for name in (first, last)]
    film = tmp_path / "morph.mp4"
    result = command("morph", studio.model, *faces, "--to", "b", "--seconds", 0.6, "--out", film)
    assert result["frames"] == probe_video(film).frame_count == 15
    reports = run(verify([film, Path(result["sheet"])]))
    assert [report.says_ai for report in reports] == [True, True]

    again = CliRunner().invoke(app, ["latent", "morph", str(studio.model), *map(str, faces), "--out", str(film)])
    assert again.exit_code == 3, "nothing is written over unasked"
    same = CliRunner().invoke(app, ["latent", "morph", str(studio.model), str(faces[0])])
    assert same.exit_code == 3


def test_what_cannot_be_is_refused_in_one_line(studio: Studio, tmp_path: Path) -> None:
    model, a = str(studio.model), f"a={studio.facesets['a']}"
    for wrong in (
        ["map", model],
        ["map", str(tmp_path), a],
        ["map", model, "a"],
        ["walk", model, a, "--person", "dora"],
        ["cluster", model, a, "--method", "magic"],
        ["cluster", model, a, "--groups", "3", "--reject", "9", "--out", str(tmp_path / "x.png")],
        ["probe", model, a, "--target", "mood"],
        ["probe", model, a, "--target", "person"],
        ["probe", model, a, "--labels", str(tmp_path / "none.csv")],
    ):
        refused = CliRunner().invoke(app, ["latent", *wrong])
        assert refused.exit_code == 3, (wrong, refused.output)
        assert "Traceback" not in refused.output


# The page.


def test_a_click_on_the_pages_map_shows_the_face_that_lies_there(studio: Studio, tmp_path: Path) -> None:
    projects = Projects(tmp_path)
    project = projects.create("pair")
    for key, faceset in studio.facesets.items():
        shutil.copytree(faceset, project.faceset(key))
    shutil.copytree(studio.model, project.folder / "model")
    with closing(Queue(tmp_path)) as queue:
        tab = LatentTab(open_desk(projects, queue))
    chosen = ("pair", "model", "PCA")

    picture, about = tab._show_map(*chosen)
    assert picture.shape == (700, 700, 3)
    assert about.startswith("48 of a, 48 of b")
    shown = tab._shown(*chosen)
    spots = []
    for face in (0, 60):
        click = types.SimpleNamespace(index=shown.map.places[face].tolist())
        large, about, spot = tab._show_face(*chosen, click)  # type: ignore[arg-type]
        assert large.shape == (256, 256, 3)
        assert shown.coded.faces.files[face] in about
        spots.append(spot)
    with pytest.raises(ConfigError):
        tab._show_face(*chosen, types.SimpleNamespace(index=["a", None]))  # type: ignore[arg-type]

    ends = [tab._between(*chosen, *spots, share)[1].value for share in (0.0, 0.5, 1.0)]
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(ends))
    assert not tab._between(*chosen, spots[0], None, 0.5)[0].get("visible")
    with pytest.raises(ConfigError, match="not on this map"):
        tab._between(*chosen, spots[0], dataclasses.replace(spots[1], file="gone.jpg"), 0.5)

    _, told = tab._use("probe", "pair", "model", "mouth")
    assert "mouth" in told.value
    image, said = tab._use("spectrum", "pair", "model")
    assert image.visible
    assert str(tmp_path) not in said.value
    assert "numbers are in use" in said.value
