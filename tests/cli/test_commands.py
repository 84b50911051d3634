"""The program as its users meet it: what commands print, refuse, and leave on disk."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
import time
import types
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

import faceswap
from faceswap.config import ModelConfig, TrainConfig
from faceswap.database import lock
from faceswap.errors import OutputError
from faceswap.faces import person
from faceswap.faces.faceset import Faceset
from faceswap.faces.track import Tracker
from faceswap.media.pictures import read_picture, write_picture
from faceswap.media.video import probe, read_frames
from faceswap.media.video_write import write_clip
from faceswap.model.folder import create_model_folder, read_config
from faceswap.training.checkpoint import load_checkpoint
from faceswap.training.memory import choose_batch_size
from faceswap.training.stages import DETAIL
from faceswap_cli import main as cli
from faceswap_cli import start
from faceswap_cli.terminal import job_errors
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import CAST, Stage, perform
from faceswap_pipelines.swapping.job import SwapJob
from faceswap_pipelines.swapping.run import swap
from faceswap_pipelines.training import prepare as train_setup
from support.commands import command, misused, refused
from support.studio import CLIP_FRAMES, Studio

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def faceless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of coloured noise."""
    path = tmp_path_factory.mktemp("noise") / "noise.mp4"
    write_clip(path, (RNG.integers(0, 255, (128, 160, 3), np.uint8) for _ in range(10)), Fraction(25))
    return path


def test_the_program_says_its_version_and_explains_itself() -> None:
    assert command("--version").stdout.strip() == faceswap.__version__
    curation = ("list", "sheet", "show", "stats", "sort", "cluster", "reject", "restore")
    commands = ((), ("demo",), ("extract",), ("train",), ("swap",), ("faces",), ("app",))
    for words in (*commands, *(("faces", name) for name in curation)):
        result = command(*words, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.stdout


def test_extract_keeps_nearly_every_face(studio: Studio) -> None:
    for folder in studio.facesets.values():
        with Faceset.open(folder) as faceset:
            kept = faceset.records(kept_only=True)
        assert len(kept) >= 0.99 * CLIP_FRAMES
        assert [record.frame for record in kept] == sorted(record.frame for record in kept)
        for record in kept:
            assert read_picture(folder / "faces" / record.file).shape == (record.side, record.side, 3)
            assert record.to_crop.scale == pytest.approx(1, abs=0.01)  # as large as in the footage


def test_two_processes_do_not_train_one_model(studio: Studio, tmp_path: Path) -> None:
    model = shutil.copytree(studio.model, tmp_path / "model")
    training = (*studio.training, "--model", model, "--steps", 1)
    before = (model / "config.toml").read_bytes()
    with closing(lock(model / ".lock", OutputError("", ""))):
        refused(command(*training, "--set", "warp=0.1"), "being trained", "Wait for that to end")
    assert (model / "config.toml").read_bytes() == before
    assert command(*training).exit_code == 0


def test_two_processes_do_not_begin_one_model(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def settle_while_another_begins(model: ModelConfig, train: TrainConfig, *others: Any) -> TrainConfig:
        create_model_folder(tmp_path / "model", model, dataclasses.replace(train, warp=0.2))
        return choose_batch_size(model, train, *others)

    monkeypatch.setattr(train_setup, "choose_batch_size", settle_while_another_begins)
    refused(command(*studio.training, "--model", tmp_path / "model", "--steps", 1), "being trained", "Wait for that")
    assert read_config(tmp_path / "model").train.warp == 0.2


def test_two_processes_do_not_extract_into_one_faceset(studio: Studio, tmp_path: Path) -> None:
    faceset = shutil.copytree(studio.facesets["a"], tmp_path / "faces")
    with closing(lock(faceset / ".lock", OutputError("", ""))):
        extraction = command("extract", studio.clips["b"], "--out", faceset, "--frames", "0:2")
        refused(extraction, "being extracted", "Wait for that to end")


def test_extract_again_does_nothing_twice(studio: Studio, tmp_path: Path) -> None:
    first = command("extract", studio.clips["a"], "--out", tmp_path / "f", "--frames", "0:6", "--json")
    again = command("extract", studio.clips["a"], "--out", tmp_path / "f", "--frames", "0:6", "--json")
    assert json.loads(first.stdout)["frames"] == 6
    assert json.loads(again.stdout)["frames"] == 0
    assert json.loads(again.stdout)["kept"] == json.loads(first.stdout)["kept"] == 6


def test_what_is_extracted_in_another_way_takes_the_place_of_what_was(studio: Studio, tmp_path: Path) -> None:
    words = ("extract", studio.clips["a"], "--out", tmp_path / "f", "--frames", "0:3", "--json")
    refused(command(*words, "--min-face", 400), "no face was found", "--min-face")
    assert json.loads(command(*words).stdout)["kept"] == 3
    said = json.loads(command(*words, "--skip-similar", 255).stdout)
    assert (said["kept"], said["rejected"]["found anew with other settings"]) == (1, 3)
    assert json.loads(command(*words).stdout)["kept"] == 3


def test_extract_from_a_folder_of_pictures_passes_over_a_broken_one(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for frame in read_frames(studio.clips["b"], 0, 3):
        write_picture(folder / f"{frame.index}.png", frame.image)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    result = command("extract", folder, "--out", tmp_path / "f", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["kept"] == 3
    assert "broken.jpg" in result.stderr


def test_of_two_people_the_one_who_is_wanted_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Drawn people resemble each other more than real ones.
    monkeypatch.setattr(person, "SAME_PERSON", 0.35)
    carl, dina = (Stage(CAST[name], 192) for name in ("carl", "dina"))
    both = [np.hstack([s.render(perform(i, 1)).image for s in (carl, dina)]) for i in range(12)]
    write_clip(tmp_path / "both.mp4", both, Fraction(25))
    for name, stage, side in (("carl", carl, 0), ("dina", dina, 1)):
        write_picture(tmp_path / f"{name}.png", stage.render(perform(40, 1)).image)
        words = ("extract", tmp_path / "both.mp4", "--out", tmp_path / name, "--person", tmp_path / f"{name}.png")
        said = json.loads(command(*words, "--json").stdout)
        assert (said["kept"], said["rejected"]) == (12, {"somebody else": 12})
        with Faceset.open(tmp_path / name) as faceset:
            assert all((r.face.box[0] > 192) == (side == 1) for r in faceset.records(kept_only=True))
    # The faceset knows by now whose it is: further footage needs no picture.
    write_clip(tmp_path / "later.mp4", both[::-1], Fraction(25))
    said = json.loads(command("extract", tmp_path / "later.mp4", "--out", tmp_path / "dina", "--json").stdout)
    assert (said["kept"], said["rejected"]) == (24, {"somebody else": 24})
    write_picture(tmp_path / "grey.png", np.full((100, 100, 3), 99, np.uint8))
    refused(command(*words[:-1], tmp_path / "grey.png"), "no face was found in", "grey.png")


def test_similar_blurred_small_and_cut_off_faces_are_left_out_with_the_reason(studio: Studio, tmp_path: Path) -> None:
    import cv2

    frame = next(read_frames(studio.clips["a"]))
    pictures = {
        "sharp": frame.image,
        "blurred": cv2.GaussianBlur(frame.image, (0, 0), 6),
        "cut": np.ascontiguousarray(frame.image[:, 128:]),
    }
    for name, picture in pictures.items():
        write_picture(tmp_path / f"{name}.png", picture)
        result = command("extract", tmp_path / f"{name}.png", "--out", tmp_path / "all", "--json")
        assert result.exit_code == 0, result.output
    rejected = json.loads(result.stdout)["rejected"]
    assert rejected.get("blurred") == 1
    still = [frame.image] * 5
    write_clip(tmp_path / "still.mp4", still, Fraction(25))
    command("extract", tmp_path / "still.mp4", "--out", tmp_path / "still", "--skip-similar", 1)
    listed = command("faces", "list", tmp_path / "still", "--rejected", "--json")
    assert [row["reason"] for row in json.loads(listed.stdout)] == ["like the face before it"] * 4


def test_a_deleted_crop_is_an_excluded_face_not_an_error(studio: Studio, tmp_path: Path) -> None:
    command("extract", studio.clips["a"], "--out", tmp_path / "f", "--frames", "0:12")
    for path in sorted((tmp_path / "f" / "faces").glob("*.jpg"))[:3]:
        path.unlink()
    listed = command("faces", "list", tmp_path / "f", "--json")
    assert len(json.loads(listed.stdout)) == 9
    shown = command("faces", "sheet", tmp_path / "f", "--json")
    assert json.loads(shown.stdout)["kept"] == 9
    assert read_picture(tmp_path / "f" / "sheet.png").shape[1] > 1000

    # One that is empty, as a full disk leaves it, counts as deleted; a damaged one says what can be done.
    first, second, *_ = sorted((tmp_path / "f" / "faces").glob("*.jpg"))
    first.write_bytes(b"")
    assert len(json.loads(command("faces", "list", tmp_path / "f", "--json").stdout)) == 8
    second.write_bytes(second.read_bytes()[:99])
    refused(command("faces", "sheet", tmp_path / "f"), second.name, "damaged", "Delete this picture")


def test_swap_changes_the_face_and_nothing_else(studio: Studio, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = command("swap", studio.clips["a"], "--model", studio.model, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["frames"] == CLIP_FRAMES
    assert said["swapped"] >= 0.99 * CLIP_FRAMES
    assert Path(said["sheet"]).is_file()
    before, after = list(read_frames(studio.clips["a"])), list(read_frames(out))
    assert [frame.time for frame in after] == [frame.time for frame in before]
    change = np.abs(np.stack([f.image for f in after]).astype(int) - np.stack([f.image for f in before])).max(axis=3)
    assert np.percentile(change[:, :20], 99) <= 4  # the top of the picture: only the codec's noise
    assert change[:, 110:170, 100:156].mean() > 5  # the middle of the face


def test_swap_of_a_picture_and_of_a_range(studio: Studio, tmp_path: Path) -> None:
    picture = tmp_path / "still.png"
    write_picture(picture, next(read_frames(studio.clips["b"])).image)
    result = command("swap", picture, "--model", studio.model, "--out", tmp_path / "o.png", "--from", "b", "--to", "a")
    assert result.exit_code == 0, result.output
    assert not np.array_equal(read_picture(tmp_path / "o.png"), read_picture(picture))
    result = command(
        "swap", studio.clips["a"], "--model", studio.model, "--out", tmp_path / "part.mp4", "--frames", "10:17"
    )
    assert result.exit_code == 0, result.output
    assert [frame.time for frame in read_frames(tmp_path / "part.mp4")] == [Fraction(i, 25) for i in range(7)]


def test_frames_without_a_face_pass_through(studio: Studio, tmp_path: Path) -> None:
    images = [frame.image for frame in read_frames(studio.clips["a"], 0, 6)]
    empty = np.full_like(images[0], 128)
    write_clip(tmp_path / "mixed.mp4", [*images, *[empty] * 6], Fraction(25))
    result = command("swap", tmp_path / "mixed.mp4", "--model", studio.model, "--out", tmp_path / "o.mp4", "--json")
    said = json.loads(result.stdout)
    assert (said["frames"], said["swapped"]) == (12, 6)
    last = list(read_frames(tmp_path / "o.mp4"))[-1].image
    assert np.abs(last.astype(int) - 128).max() <= 3


def test_rendering_again_does_not_look_for_faces_again(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither under the same name nor under another one, with other settings; of other frames it does not know."""
    words = ("swap", studio.clips["a"], "--model", studio.model, "--frames", "0:6", "--out", tmp_path / "o.mp4")
    assert command(*words).exit_code == 0
    assert len(list(tmp_path.glob("*.tracks.db"))) == 1
    first = [frame.image for frame in read_frames(tmp_path / "o.mp4")]
    monkeypatch.setattr(Tracker, "follow", None)
    assert command(*words, "--overwrite").exit_code == 0
    assert all((a == b.image).all() for a, b in zip(first, read_frames(tmp_path / "o.mp4"), strict=True))
    other = ("--out", tmp_path / "other.mp4", "--to", "a", "--set", "opacity=0.5")
    assert command(*words[:-2], *other).exit_code == 0
    with pytest.raises(TypeError):
        raise command("swap", studio.clips["a"], "--model", studio.model, *other, "--overwrite").exception or OSError


def test_of_two_swaps_that_need_the_same_faces_one_looks_for_them(studio: Studio, tmp_path: Path) -> None:
    jobs = [
        SwapJob(video=studio.clips["a"], model=studio.model, out=tmp_path / f"{name}.mp4", frames=(0, 6), device="cpu")
        for name in ("one", "two")
    ]
    first, second = (swap(job) for job in jobs)
    assert next(first).title.startswith("Finding faces")
    assert next(second).title.startswith("Waiting for another swap")
    run(first)
    assert next(second).title.startswith("Swapping")
    second.close()


def test_a_model_trains_on_and_refuses_to_start_over(studio: Studio, tmp_path: Path) -> None:
    words = (*studio.training, "--model", tmp_path / "m", "--json")
    assert json.loads(command(*words, "--steps", 3).stdout)["steps"] == 3
    assert json.loads(command(*words, "--steps", 2).stdout)["steps"] == 5
    refused(command(*words, "--steps", 2, "--no-resume"), "there is a model")
    lines = [json.loads(line) for line in (tmp_path / "m" / "stats.jsonl").read_text().splitlines()]
    assert all(set(line["losses"]) == {"a", "b"} for line in lines)
    assert read_picture(tmp_path / "m" / "previews" / "latest.png").shape[1] > 500


TINY = ("--size", 32, "--set", "width=8", "--set", "max_width=16", "--set", "latent_size=32")


def test_settings_reach_the_model_and_only_those_of_training_can_change(studio: Studio, tmp_path: Path) -> None:
    model = tmp_path / "m"
    words = (*studio.training, "--model", model, "--json")
    made = (*TINY, "--latent", "vae", "--decoder", "conditional", "--batch", 2, "--seed", 5)
    result = command(*words, *made, "--set", "beta=4", "--set", "corruptions=blur,masking", "--steps", 3)
    assert result.exit_code == 0, result.output
    assert {"kl", "elbo"} <= set(json.loads(result.stdout)["latent"])
    known = read_config(model)
    assert (known.model.latent, known.model.decoder, known.model.latent_size) == ("vae", "conditional", 32)
    assert (known.train.batch_size, known.train.seed, known.train.beta) == (2, 5, 4.0)
    assert known.train.corruptions == ("blur", "masking")
    assert command(*words, "--set", "beta=1", "--set", "perceptual=0.1", "--steps", 2).exit_code == 0
    assert read_config(model).train == dataclasses.replace(known.train, beta=1.0, perceptual=0.1)
    refused(command(*words, "--latent", "vq", "--steps", 2), "made with latent 'vae', not 'vq'")
    refused(command(*words, "--preset", "base", "--steps", 2), "made with size 32, not 128")
    refused(
        command(*words, "--set", "sparsity=1", "--steps", 2),
        "sparsity has no effect on a vae latent",
        "--latent sparse",
    )
    refused(command(*words, "--set", "persons=c,d", "--steps", 2), "--person NAME=FACESET")
    refused(command(*words, "--set", "gamma=2", "--steps", 2), "no setting 'gamma'", "beta", "width")
    misused(command(*words, "--set", "beta", "--steps", 2), "NAME=VALUE")
    lines = [json.loads(line) for line in (model / "stats.jsonl").read_text().splitlines()]
    assert all({"kl", "elbo"} <= set(line["latent"]) for line in lines)
    assert read_picture(model / "previews" / "losses.png").shape[1] == 1000


def test_training_ends_by_itself_when_held_out_faces_get_no_better(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceswap.training.held_out._GAIN", 0.5)  # by default it takes minutes
    words = (*studio.training, "--model", tmp_path / "m", "--json")
    result = command(*words, *TINY, "--until-plateau")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    loaded = load_checkpoint(tmp_path / "m", torch.device("cpu"))
    assert loaded is not None
    state, budget = loaded
    assert said["steps"] == state.step == budget.start_step + (budget.steps or 0)
    settling = max(100, budget.start_step // 4)
    assert budget.steps == round(settling / 0.4)  # behind it detail is learnt
    assert state.stage == DETAIL
    assert budget.start_step < state.held_out[-1][0] <= budget.start_step + settling
    assert said["held_out"] == min(loss for _, loss in state.held_out)
    assert state.held_out[-1][1] < state.held_out[0][1]
    misused(command(*words, "--until-plateau", "--steps", 3), "one of minutes, steps")


def test_a_layer_after_the_other_then_all(studio: Studio, tmp_path: Path) -> None:
    words = (*studio.training, "--model", tmp_path / "m")
    result = command(*words, *TINY, "--set", "stacked_steps=2", "--steps", 2)
    assert result.exit_code == 0, result.output


def test_faces_that_do_not_fit_into_memory_are_read_from_disk_with_the_same_result(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*studio.training, *TINY, "--steps", 4)
    assert command(*words, "--model", tmp_path / "memory").exit_code == 0
    monkeypatch.setattr("faceswap_pipelines.training.data.free_memory", lambda _: 1 << 20)
    assert command(*words, "--model", tmp_path / "disk").exit_code == 0
    one, other = (tmp_path / name / "checkpoint" / "00000004" / "training.safetensors" for name in ("memory", "disk"))
    assert one.read_bytes() == other.read_bytes()
    assert {path.name for path in (tmp_path / "disk").iterdir()} == {
        path.name for path in (tmp_path / "memory").iterdir()
    }


def test_tensorboard_is_written_if_it_is_there(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*studio.training, *TINY, "--steps", 2, "--tensorboard")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    refused(command(*words, "--model", tmp_path / "m"), "TensorBoard is not installed", "pip install")
    written: dict[str, float] = {}
    boards = types.SimpleNamespace(add_scalar=lambda name, value, _: written.update({name: value}), close=lambda: None)
    stand_in = types.SimpleNamespace(SummaryWriter=lambda _, purge_step: boards)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    assert command(*words, "--model", tmp_path / "m").exit_code == 0
    assert {"losses/a/total", "losses/b/mask", "learning_rate"} <= set(written)


@pytest.mark.parametrize("decoder", ["separate", "conditional"])
def test_three_persons_any_to_any(decoder: str, studio: Studio, tmp_path: Path) -> None:
    third = f"carla={shutil.copytree(studio.facesets['a'], tmp_path / 'carla')}"
    words = (*studio.training, "--person", third, "--consent", "carla=nobody")
    result = command(*words, *TINY, "--decoder", decoder, "--model", tmp_path / "m", "--steps", 2)
    assert result.exit_code == 0, result.output
    out = tmp_path / "o.mp4"
    result = command(
        *("swap", studio.clips["b"], "--model", tmp_path / "m", "--out", out),
        *("--from", "b", "--to", "carla", "--frames", "0:3"),
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "truncated"])
def test_unusable_videos(kind: str, studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    whole = studio.clips["a"].read_bytes()
    if kind != "missing":
        path.write_bytes({"empty": b"", "text": b"hello, " * 99, "truncated": whole[: len(whole) // 3]}[kind])
    refused(command("extract", path, "--out", tmp_path / "f"), "video.mp4")
    refused(command("swap", path, "--model", studio.model, "--out", tmp_path / "o.mp4"), "video.mp4")
    assert not (tmp_path / "o.mp4").exists()


def test_no_face_anywhere(faceless: Path, studio: Studio, tmp_path: Path) -> None:
    refused(command("extract", faceless, "--out", tmp_path / "f"), "no face was found", "--min-face")
    refused(command("swap", faceless, "--model", studio.model, "--out", tmp_path / "o.mp4"), "no face was found")
    assert list(tmp_path.iterdir()) == []


def test_too_few_faces(studio: Studio, tmp_path: Path) -> None:
    command("extract", studio.clips["a"], "--out", tmp_path / "few", "--frames", "0:4")
    words = ("--model", tmp_path / "m", "--steps", 1)
    refused(command(*studio.training, "--a", tmp_path / "few", *words), "4 usable faces", "Extract more")
    refused(command(*studio.training, "--a", tmp_path / "none", *words), "not a faceset", "faceswap extract")
    # It has learnt nothing yet, so that it can still become another one.
    refused(command(*studio.training, "--a", tmp_path / "few", *words, "--latent", "vae"), "4 usable faces")
    assert command(*studio.training, *words).exit_code == 0
    assert read_config(tmp_path / "m").model.latent == "vae"
    refused(command(*studio.training, *words, "--latent", "plain"), "made with latent 'vae'")


def test_unusable_models(studio: Studio, tmp_path: Path) -> None:
    words = ("swap", studio.clips["a"], "--out", tmp_path / "o.mp4", "--model")
    refused(command(*words, tmp_path / "nowhere"), "not a model")
    config = (studio.model / "config.toml").read_text()
    half = tmp_path / "half"
    half.mkdir()
    (half / "config.toml").write_text(config)
    refused(command(*words, half), "no checkpoint yet")
    (half / "config.toml").write_text(config.replace("version = 3", "version = 7"))
    refused(command(*words, half), "another version")
    (half / "config.toml").write_text('version = 1\n[model]\npersons = ["a", "b"]\nlatent = 256\n')
    refused(command(*words, half), "another version")
    (half / "config.toml").write_text("size = ")
    refused(command(*words, half), "cannot be read as TOML")
    refused(command(*words, studio.model, "--to", "carol"), "no person 'carol'", "a, b")


def test_unusable_outputs(studio: Studio, tmp_path: Path) -> None:
    words = ("swap", studio.clips["a"], "--model", studio.model, "--frames", "0:2", "--out")
    (tmp_path / "there.mp4").write_bytes(b"precious")
    refused(command(*words, tmp_path / "there.mp4"), "exists already", "--overwrite")
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"
    assert command(*words, tmp_path / "there.mp4", "--overwrite").exit_code == 0
    assert probe(tmp_path / "there.mp4").width == 256
    refused(command(*words, tmp_path / "no" / "such" / "folder.mp4"), "does not exist")
    refused(command(*words, tmp_path / "out.exe"), "out.exe")
    refused(command(*words, studio.clips["a"], "--overwrite"), "input itself")
    before = sorted(tmp_path.iterdir())
    refused(command(*words, tmp_path / "o.mp4", "--mask-out", tmp_path / "mask.exe"), "mask.exe")
    assert sorted(tmp_path.iterdir()) == before
    with closing(lock(tmp_path / ".o.lock", OutputError("", ""))):
        refused(command(*words, tmp_path / "o.mkv"), "being written already", "Wait for that")
        mask = ("--mask-out", tmp_path / "o.mkv")
        refused(command(*words, tmp_path / "other.mp4", *mask), "being written already")
    (tmp_path / ".o.lock").unlink()
    refused(command(*words[:-3], "--frames", "500:501", "--out", tmp_path / "o.mp4"), "no frame 500")
    assert sorted(tmp_path.iterdir()) == before


def test_wrong_devices_and_values(studio: Studio, tmp_path: Path) -> None:
    words = ("extract", studio.clips["a"], "--out", tmp_path / "f")
    refused(command(*words, "--device", "cuda:63"), "cuda:63", "--device cpu")
    refused(command(*words, "--device", "abacus"), "not a device")
    misused(command(*words, "--frames", "9:3"), "not a range")
    train = (*studio.training, "--model", tmp_path / "m")
    misused(command(*train, "--minutes", 0), "above zero")
    refused(command(*train, "--preset", "huge"), "nano, base, large")
    refused(command(*train, "--size", 70), "multiple of 16")
    misused(command(*train, "--person", "carol"), "NAME=FACESET")
    assert command("extract").exit_code == 2


def test_a_missing_detector_is_named_with_the_remedy(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    refused(command("extract", studio.clips["a"], "--out", tmp_path / "f"), "facenet-pytorch", "--no-deps")


def test_sigterm_is_ctrl_c_from_the_first_moment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loading() -> None:
        with job_errors():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(cli, "app", loading)
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: None)
    try:
        with pytest.raises(typer.Exit) as stopped:
            start.main()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert stopped.value.exit_code == 130
    assert capsys.readouterr().err.startswith("Stopped; what was saved before is kept")


def test_errors_are_one_line_whatever_a_file_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), job_errors():
        raise OutputError("x\nStopped; \x1b[2J\udce9", "Mend it")
    assert capsys.readouterr().err == "Error: x?Stopped; ?[2J?. Mend it.\n"
