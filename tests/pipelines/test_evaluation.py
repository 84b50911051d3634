"""The command `evaluate`: what it prints, what its report holds, and what it refuses."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap.provenance.credentials import TRUSTED, read_credentials
from faceswap.provenance.xmp import SOURCE_TYPE
from faceswap.quality.scales import LIKENESS, POOR, REBUILT, SWAP
from faceswap_pipelines import evaluate
from faceswap_pipelines.evaluation import faces
from faceswap_pipelines.evaluation.job import THE_SWAP, SwapFiles, SwapLikeness, SwapQuality
from support.browser import needs_chromium, open_page
from support.commands import command, misused, refused
from support.studio import CLIP_FRAMES, Studio

EVIL = "<script>alert(1)</script>&.mp4"


@dataclass(frozen=True)
class Evaluated:
    """A swap of the studio's, evaluated with a model beside another one."""

    swap: Path
    result: dict[str, Any]
    page: str


@pytest.fixture(scope="module")
def evaluated(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    folder = tmp_path_factory.mktemp("evaluated")
    made, out, report = folder / "swap.mp4", folder / EVIL.replace("/", "_"), folder / "report.html"
    assert command("swap", studio.clips["a"], "--model", studio.model, "--out", made).exit_code == 0
    made.rename(out)
    other = folder / "other"
    shutil.copytree(studio.model, other)

    words = ["evaluate", studio.model, "--swap", out, "--target", studio.clips["a"], "--identity", studio.facesets["b"]]
    words += [word for person, faceset in studio.facesets.items() for word in ("--clip", f"{person}={faceset}")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faces, "MOST_FACES", 12)
        result = command(*words, "--compare", other, "--out", report, "--device", "cpu", "--json")
    assert result.exit_code == 0, result.output
    return Evaluated(out, json.loads(result.stdout), report.read_text())


def test_all_measures_are_printed(evaluated: Evaluated) -> None:
    swap = evaluated.result["swap"]
    assert set(SWAP) < set(swap)
    assert set(LIKENESS) < set(swap["likeness"])
    assert (swap["frames"], swap["faces"]) == (CLIP_FRAMES, CLIP_FRAMES)
    assert 2 <= swap["likeness"]["gallery"] <= 6  # drawn people who look like the two are none of their strangers
    said = [(verdict["of"], verdict["name"]) for verdict in evaluated.result["verdicts"]]
    assert len(said) == len(set(said))
    assert {(THE_SWAP, name) for name in {**SWAP, **LIKENESS}} | {("a", name) for name in REBUILT} < set(said)


def test_the_scales_are_of_what_is_measured() -> None:
    counts = {"frames", "faces", "likeness"}
    assert set(SWAP) == set(SwapQuality.__dataclass_fields__) - counts
    assert set(LIKENESS) == set(SwapLikeness.__dataclass_fields__) - {"gallery"}


def test_a_model_after_thirty_steps_swaps_every_frame_but_shows_a_blur(evaluated: Evaluated) -> None:
    swap = evaluated.result["swap"]
    assert swap["unswapped"] == 0
    assert swap["delay"] == 0
    assert swap["background"] > 38
    grades = {verdict["name"]: verdict["grade"] for verdict in evaluated.result["verdicts"] if verdict["of"] == "a"}
    assert grades["detail"] == POOR


def test_a_copy_of_a_model_measures_the_same(evaluated: Evaluated) -> None:
    first, second = evaluated.result["models"]
    assert first.pop("model") != second.pop("model")
    assert first == second
    assert set(first["rebuilt"]) == {"a", "b"}
    assert set(first["swapped"]) == {"a as b", "b as a"}


def test_the_report_is_whole_and_safe(evaluated: Evaluated) -> None:
    page = evaluated.page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;_script&gt;&amp;.mp4" in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert "http:" not in page
    assert "https:" not in page
    assert ">other</th>" in page  # the model that it is compared with
    for scale in {**SWAP, **LIKENESS, **REBUILT}.values():
        assert html.escape(scale.title) in page


@needs_chromium
def test_the_report_fits_a_phone(evaluated: Evaluated, tmp_path: Path) -> None:
    """Nothing but pictures is wider than the screen, and each value says of which model it is."""
    report = tmp_path / "report.html"
    report.write_text(evaluated.page)
    with open_page(390, 844) as page:
        page.goto(report.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        parts = page.locator("h1, h2, h3, p, table, td")
        assert parts.evaluate_all("parts => parts.every(part => part.getBoundingClientRect().right <= innerWidth)")
        said = page.locator("td.value[data-of]").first.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert "model" in said


def test_pictures_of_swapped_faces_say_so(evaluated: Evaluated, tmp_path: Path) -> None:
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", evaluated.page)
    files = []
    for number, data in enumerate(pictures):
        files.append(tmp_path / f"{number}.jpg")
        files[-1].write_bytes(base64.b64decode(data))
    assert len(files) > 6
    credentials = [read_credentials(file) for file in files]
    assert all(one is not None and one.state == TRUSTED for one in credentials)
    assert all(SOURCE_TYPE.endswith(one.source_types[0]) for one in credentials if one is not None)


def test_worst_frames_are_named(evaluated: Evaluated) -> None:
    worst = evaluated.result["worst"]
    assert set(worst) == {"expression_error", "pose_error", "sharpness", "seam", "to_wanted"}
    assert all(len(set(frames)) == 3 and max(frames) < CLIP_FRAMES for frames in worst.values())


def test_what_was_not_swapped_is_called_poor(studio: Studio, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copy(studio.clips["a"], copy)
    words = ("evaluate", "--swap", copy, "--target", studio.clips["a"], "--identity", studio.clips["b"])
    result = json.loads(command(*words, "--json").stdout)
    assert result["swap"]["unswapped"] == 1
    assert result["swap"]["likeness"]["nearer"] == 0
    assert result["swap"]["likeness"]["identity_way"] == pytest.approx(0, abs=0.02)
    grades = {verdict["name"]: verdict["grade"] for verdict in result["verdicts"]}
    assert {grades[name] for name in ("unswapped", "identity_way", "nearer", "retrieved")} == {POOR}


def test_without_a_wanted_person_the_rest_is_measured(evaluated: Evaluated, studio: Studio) -> None:
    result = command("evaluate", "--swap", evaluated.swap, "--target", studio.clips["a"])
    assert result.exit_code == 0
    assert "Mouth follows" in result.stdout
    assert "wanted" not in result.stdout


def test_a_range_is_compared_with_its_own_frames(evaluated: Evaluated, studio: Studio, tmp_path: Path) -> None:
    part = tmp_path / "part.mp4"
    write_clip(part, (frame.image for frame in read_frames(evaluated.swap, 10, 40)), Fraction(25))
    words = ("evaluate", "--swap", part, "--target", studio.clips["a"])
    refused(command(*words), "30 frames", "--frames")
    result = json.loads(command(*words, "--frames", "10:40", "--json").stdout)["swap"]
    assert (result["frames"], result["delay"]) == (30, 0)
    late = json.loads(command(*words, "--frames", "13:43", "--json").stdout)["swap"]
    assert late["delay"] == 3 or late["mouth"] < result["mouth"]


def test_what_cannot_be_evaluated(studio: Studio, tmp_path: Path) -> None:
    clip, faceset = studio.clips["a"], studio.facesets["a"]
    refused(command("evaluate"), "nothing to evaluate", "--clip")
    refused(command("evaluate", studio.model), "nothing to evaluate", "--clip")
    refused(command("evaluate", "--clip", f"a={faceset}"), "no model")
    refused(command("evaluate", studio.model, "--clip", f"c={faceset}"), "does not know 'c'", "a, b")
    misused(command("evaluate", studio.model, "--clip", faceset), "NAME=FACESET")
    misused(command("evaluate", "--swap", clip), "--target")
    refused(command("evaluate", "--swap", clip, "--target", tmp_path / "none.mp4"), "does not exist")
    refused(command("evaluate", "--swap", clip, "--target", clip, "--out", tmp_path / "a.txt"), ".html")
    refused(
        command("evaluate", "--swap", clip, "--target", clip, "--out", tmp_path / "no" / "a.html"), "does not exist"
    )

    small = tmp_path / "small.mp4"
    write_clip(small, (frame.image[::2, ::2].copy() for frame in read_frames(clip)), Fraction(25))
    refused(command("evaluate", "--swap", small, "--target", clip), "128x128", "--target")


def test_the_call_measures_what_the_command_does(evaluated: Evaluated, studio: Studio) -> None:
    files = SwapFiles(swap=evaluated.swap, target=studio.clips["a"])
    quality = evaluate(swap=files, device="cpu").swap
    assert quality is not None
    assert quality.mouth == pytest.approx(evaluated.result["swap"]["mouth"])
    assert quality.likeness is None
