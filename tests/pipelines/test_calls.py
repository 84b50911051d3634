"""The calls for scripts: the manual's lines run as they stand, and what they refuse."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import faceswap_pipelines as fs
from faceswap.errors import ConfigError
from faceswap.media.video_write import write_clip
from support.clips import images
from support.studio import DRAWN, Studio

MANUAL = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_lines_in_the_manual_run(studio: Studio, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", MANUAL.read_text(encoding="utf-8"), re.DOTALL)
    for person, name in (("a", "alice"), ("b", "bob"), ("b", "carl")):
        write_clip(tmp_path / f"{name}.mp4", images(studio.clips[person])[:12], Fraction(25))

    said = ""
    for block in blocks:
        code = block.replace("minutes=10", "steps=2")  # the only change: a test has no ten minutes
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        said += done.stdout

    assert "12 frames swapped" in said
    assert "16 torch.Size([1, 3, 64, 64])" in said
    films = ("swapped.mp4", "alice_as_b.mp4", "alice_as_carl.mp4")
    reports = fs.verify(*(tmp_path / file for file in (*films, "composited.png")))
    assert all(report.says_ai for report in reports)


def test_unknown_options_are_refused_by_name(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no setting 'colours'"):
        fs.swap(studio.clips["a"], model=studio.model, out=tmp_path / "o.mp4", colours="none")
    with pytest.raises(ConfigError, match="no setting 'learning'"):
        fs.train(studio.facesets, model=tmp_path / "m", consent=DRAWN, steps=1, learning=1.0, device="cpu")
    with pytest.raises(TypeError, match="sise"):
        fs.extract(studio.clips["a"], out=tmp_path / "f", sise=64)


def test_a_plan_and_a_preview(studio: Studio, tmp_path: Path) -> None:
    sheet = fs.preview(studio.clips["a"], model=str(studio.model), out=str(tmp_path / "o.mp4"), count=1, device="cpu")
    assert Path(sheet.sheet).is_file()
    model, video = studio.model.as_posix(), studio.clips["a"].as_posix()
    plan = tmp_path / "jobs.toml"
    plan.write_text(f'[[job]]\nkind = "swap"\ninputs = ["{video}"]\nmodel = "{model}"\nframes = "0:2"\nout = "o.mkv"\n')
    assert fs.batch(plan, device="cpu").done == 1
    assert fs.batch(plan, device="cpu").kept == 1
    with pytest.raises(AttributeError, match="no attribute 'steal'"):
        _ = fs.steal
