"""What commands say when something is wrong: exit codes, JSON for programs, what was probably meant, nothing left."""

from __future__ import annotations

import json
import mmap
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from faceswap.media.video_write import write_clip
from faceswap.model.folder import read_config
from faceswap_app.jobs import FAILED, outcome
from faceswap_cli.terminal import job_errors
from support.commands import command, misused, refused
from support.studio import Studio

SWAP = ("swap", "x.mp4", "--model", "m")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (SWAP, "where to write"),
        ((*SWAP, "--out", "o.mp4", "--out-dir", "o"), "where to write"),
        ((*SWAP, "--out", "o.mp4", "--frames", "9"), "not a range"),
        ((*SWAP, "--out", "o.mp4", "--set", "opacity"), "not a setting"),
        ((*SWAP, "--out", "o.mp4", "--map", "a=b", "--to", "b"), "--map says already"),
        (("train", "--a", "x", "--b", "y", "--model", "m", "--minutes", "0"), "minutes"),
        (("train", "--a", "x", "--b", "y", "--model", "m", "--person", "c"), "does not name a faceset"),
        (("evaluate", "--swap", "x.mp4"), "Name both"),
    ],
)
def test_wrong_usage_is_2(words: tuple[str, ...], said: str) -> None:
    misused(command(*words), said)
    error = json.loads(command(*words, "--json").stdout)["error"]
    assert said in f"{error['problem']} {error['remedy']}"
    assert error["kind"] == "UsageError"


def test_errors_are_json_where_results_are(tmp_path: Path) -> None:
    result = command("extract", tmp_path / "none.mp4", "--out", tmp_path / "faces", "--json")
    refused(result, "none.mp4")
    error = json.loads(result.stdout)["error"]
    assert error == {
        "kind": "MediaError",
        "problem": f"{tmp_path / 'none.mp4'} does not exist",
        "remedy": "Check the name",
    }
    assert not command("extract", tmp_path / "none.mp4", "--out", tmp_path / "faces").stdout

    # The page, which runs commands so, takes it for what it is.
    (tmp_path / "stdout").write_text(result.stdout)
    (tmp_path / "stderr").write_text(result.stderr)
    assert outcome(tmp_path) == (FAILED, f"{error['problem']}. {error['remedy']}.")


@pytest.mark.parametrize("words", [("extract", "--json"), ("extract", "x", "--out", "y", "--size", "huge", "--json")])
def test_what_the_parser_finds_is_json_too(words: tuple[str, ...]) -> None:
    run = subprocess.run([sys.executable, "-m", "faceswap_cli", *words], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert json.loads(run.stdout)["error"]["kind"] == "UsageError"
    assert run.stderr.startswith("Error: ")


def test_a_setting_that_was_probably_meant_is_named(studio: Studio, tmp_path: Path) -> None:
    words = ("swap", studio.clips["a"], "--model", studio.model, "--out", tmp_path / "o.mp4", "--set")
    refused(command(*words, "opacty=0.5"), "no setting 'opacty'", "Did you mean 'opacity'?")
    refused(command(*words, "zzz=1"), "no setting 'zzz'. Known are: ")
    training = (*studio.training, "--model", tmp_path / "m", "--steps", 1, "--set", "batchsize=2")
    refused(command(*training), "Did you mean 'batch_size'?")
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_swapped_with_themselves(studio: Studio, tmp_path: Path) -> None:
    faces = studio.facesets["a"]
    (tmp_path / "link").symlink_to(faces)
    consent = ("--consent", "a=nobody", "--consent", "b=nobody")
    words = ("train", "--a", faces, "--b", tmp_path / "link", *consent, "--model", tmp_path / "m", "--steps", 1)
    refused(command(*words), "a and b are the same faceset")
    assert not (tmp_path / "m").exists()


def test_an_extraction_that_finds_nothing_leaves_nothing(studio: Studio, tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    write_clip(empty, (np.full((96, 96, 3), 90, np.uint8) for _ in range(5)), Fraction(25))
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    for clip in (empty, tmp_path / "text.mp4"):
        for out in (tmp_path / "faces", tmp_path / "own"):
            assert command("extract", clip, "--out", out).exit_code == 3
    assert not (tmp_path / "faces").exists()
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["notes.txt"]

    # What was there before stays.
    faceset = shutil.copytree(studio.facesets["a"], tmp_path / "a")
    before = sorted(path.name for path in (faceset / "faces").iterdir())
    assert command("extract", tmp_path / "text.mp4", "--out", faceset).exit_code == 3
    assert sorted(path.name for path in (faceset / "faces").iterdir()) == before


def test_settings_that_change_are_kept_with_their_step(studio: Studio, tmp_path: Path) -> None:
    model = shutil.copytree(studio.model, tmp_path / "model")
    before = read_config(model).train
    words = (*studio.training, "--model", model, "--steps", 1)
    assert command(*words, "--batch", 3).exit_code == 0
    assert command(*words).exit_code == 0  # nothing new
    [line] = [json.loads(text) for text in (model / "changes.jsonl").read_text().splitlines()]
    assert line == {"step": 30, "settings": {"batch_size": {"from": before.batch_size, "to": 3}}}


ENORMOUS = 1 << 55


@pytest.mark.parametrize(
    "fill",
    [
        lambda: np.empty(ENORMOUS, np.uint8),
        lambda: torch.empty(ENORMOUS, dtype=torch.uint8),
        lambda: mmap.mmap(-1, ENORMOUS),
    ],
    ids=["numpy", "torch", "system"],
)
def test_memory_that_does_not_suffice_is_told_whoever_says_so(
    fill: Callable[[], object], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as end, job_errors():
        fill()
    assert end.value.exit_code == 3
    assert "the memory is full" in capsys.readouterr().err


def test_another_error_is_ours_and_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="a bug"), job_errors():
        raise RuntimeError("a bug")
