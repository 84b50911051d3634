"""SIGKILL at random moments, then the same command again: nothing that was done is lost, and the end is right."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file

from faceswap.faces.faceset import Faceset
from faceswap.media.codecs import Encoding
from faceswap.media.pictures import read_picture
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap.training.checkpoint import load_checkpoint
from faceswap_pipelines.batching.segments import swap_in_segments
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.swapping.job import SwapJob, SwapSettings
from faceswap_pipelines.swapping.run import swap
from support.studio import CLIP_FRAMES, Studio

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")

MOMENT = random.Random(int(time.time()))


def start(*words: object) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "faceswap_cli", *map(str, words)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def kill_when(begun: Callable[[], bool], *words: object) -> None:
    """Start a command, wait until it has begun to leave something on disk, then kill it a random moment later."""
    process = start(*words)
    deadline = time.monotonic() + 120
    while not begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert begun(), process.stderr and process.stderr.read()
    time.sleep(MOMENT.uniform(0, 0.4))
    process.send_signal(signal.SIGKILL)
    process.communicate()


def finish(*words: object) -> dict[str, Any]:
    """What the command says, run to its end."""
    process = start(*words, "--json")
    said, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors.decode()
    result: dict[str, Any] = json.loads(said)
    return result


@pytest.mark.parametrize(("begun", "again"), [("tracks.db", CLIP_FRAMES), ("faces/*_000016_*.jpg", CLIP_FRAMES - 16)])
def test_extract(begun: str, again: int, studio: Studio, tmp_path: Path) -> None:
    """Faces are kept every 16 frames."""
    words = ("extract", studio.clips["a"], "--out", tmp_path / "f", "--device", "cpu")
    kill_when(lambda: any((tmp_path / "f").glob(begun)), *words)
    assert finish(*words)["frames"] <= again
    with Faceset.open(tmp_path / "f") as ours, Faceset.open(studio.facesets["a"]) as whole:
        got = [(r.frame, r.reason) for r in ours.records()]
        assert got == [(r.frame, r.reason) for r in whole.records()]
        for record in ours.records():
            assert ours.path(record).read_bytes() == whole.path(record).read_bytes()


def test_train(studio: Studio, tmp_path: Path) -> None:
    def words(model: Path) -> tuple[object, ...]:
        return (*studio.training, "--model", model, "--steps", 24, "--save-every", 1, "--device", "cpu")

    killed = tmp_path / "killed"
    kill_when(lambda: any((killed / "checkpoint").glob("*[0-9]")), *words(killed))
    first = (killed / "stats.jsonl").read_text().splitlines()[0]
    finish(*words(killed))
    assert (killed / "stats.jsonl").read_text().splitlines()[0] == first  # the same to the hundredth of a second
    finish(*words(tmp_path / "whole"))
    got, wanted = (
        load_file(m / "checkpoint" / "00000024" / "weights.safetensors") for m in (killed, tmp_path / "whole")
    )
    assert all((got[name] == wanted[name]).all() for name in wanted)


def test_ctrl_c_saves_and_says_how_to_go_on(studio: Studio, tmp_path: Path) -> None:
    model = tmp_path / "m"
    process = start(*studio.training, "--model", model, "--steps", 100_000, "--save-every", 1000, "--device", "cpu")
    deadline = time.monotonic() + 120
    while not (model / "stats.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Run the same command again" in errors
    assert b"Traceback" not in errors
    saved = load_checkpoint(model, torch.device("cpu"))
    assert saved is not None
    assert saved[0].step >= 1


def test_swap(studio: Studio, tmp_path: Path) -> None:
    images = [frame.image for frame in read_frames(studio.clips["a"])]
    video = tmp_path / "long.mp4"
    write_clip(video, images + images[::-1] + images, Fraction(25))
    out = tmp_path / "out.mkv"
    words = ("swap", video, "--model", studio.model, "--device", "cpu", "--out")
    finish(*words, tmp_path / "whole.mkv", "--codec", "ffv1")
    words = (*words, out, "--mask-out", tmp_path / "mask.mkv", "--codec", "ffv1")
    kill_when(lambda: all(any(tmp_path.glob(f".{name}.mkv.partial/*.nut")) for name in ("out", "mask")), *words)
    assert not out.exists()
    assert finish(*words)["frames"] <= 3 * len(images) - 60  # a segment's
    assert [f.time for f in read_frames(out)] == [f.time for f in read_frames(video)]
    for resumed, whole in zip(read_frames(out), read_frames(tmp_path / "whole.mkv"), strict=True):
        assert (resumed.image == whole.image).all()
    assert len(list(read_frames(tmp_path / "mask.mkv"))) == 3 * len(images)
    assert (read_picture(tmp_path / "out.sheet.png") == read_picture(tmp_path / "whole.sheet.png")).all()
    assert not list(tmp_path.glob(".*"))


def test_swap_in_segments(studio: Studio, tmp_path: Path) -> None:
    """One process dies, and those that it has started see it; another one goes on with what is whole."""
    images = [frame.image for frame in read_frames(studio.clips["a"])]
    video = tmp_path / "long.mp4"
    write_clip(video, images + images[::-1], Fraction(25))
    job = SwapJob(
        video=video,
        model=studio.model,
        out=tmp_path / "out.mkv",
        settings=SwapSettings(encoding=Encoding(codec="ffv1")),
        device="cpu",
        segments=2,
    )

    words = ("swap", video, "--model", studio.model, "--device", "cpu", "--out", job.out, "--codec", "ffv1")
    kill_when(lambda: any(tmp_path.glob(".out.mkv.partial/*.nut")), *words, "--segments", 2)
    assert not job.out.exists()
    assert run(swap_in_segments(job)).frames <= 2 * len(images) - 36  # the shorter segment's

    run(swap(replace(job, out=tmp_path / "whole.mkv", segments=1)))
    for resumed, whole in zip(read_frames(job.out), read_frames(tmp_path / "whole.mkv"), strict=True):
        assert resumed.time == whole.time
        assert (resumed.image == whole.image).all()
    assert not list(tmp_path.glob(".*"))
