"""Folders of numbered pictures, read as videos: order, gaps, times, and what is none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from faceswap.errors import ConfigError, MediaError
from faceswap.media.fingerprint import fingerprint
from faceswap.media.numbered import NumberedPictures
from faceswap.media.pictures import write_picture
from faceswap_pipelines import calls
from faceswap_pipelines.batching.plan import read_plan
from faceswap_pipelines.common.inputs import Footage, frame_rate
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.swapping.job import SwapJob
from support.clips import gradient

RATE = Fraction(24)


def shot(folder: Path, *names: str, width: int = 64) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        write_picture(folder / name, gradient(index, width, 48))
    return folder


def test_pictures_come_by_their_numbers_and_gaps_stay(tmp_path: Path) -> None:
    folder = shot(tmp_path / "shot", "f_8.png", "f_9.png", "f_10.png", "f_13.png")
    (folder / "notes.txt").write_text("none of them")
    numbered = NumberedPictures(folder, RATE)
    frames = list(numbered.read())
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.time * RATE for frame in frames] == [0, 1, 2, 5]
    assert numbered.gaps == 2
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, gradient(index, 64, 48))
    assert [frame.index for frame in numbered.read(1, 3)] == [1, 2]
    footage = Footage(path=folder, frames=(1, None), frame_rate=RATE)
    assert (footage.count, footage.info.width, footage.info.duration) == (3, 64, Fraction(6, 24))
    assert [frame.index for frame in footage.sample(3)] == [1, 2, 3]
    assert [path.name for path in footage.originals] == ["f_9.png", "f_10.png", "f_13.png"]


def test_pictures_of_other_sizes_are_scaled_to_the_first(tmp_path: Path) -> None:
    shot(tmp_path / "shot", "2.png", width=80)
    folder = shot(tmp_path / "shot", "1.png")
    assert {frame.image.shape for frame in NumberedPictures(folder, RATE).read()} == {(48, 64, 3)}


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ((), "holds no pictures"),
        (("a_1.png", "b_2.png"), "more than one film"),
        (("a_1.png", "a_01.jpg"), "more than one film"),
        (("a_1.png", "cover.png"), r"cover.png has no number"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path: Path, names: tuple[str, ...], problem: str) -> None:
    with pytest.raises(MediaError, match=problem):
        next(NumberedPictures(shot(tmp_path / "shot", *names), RATE).read())


def test_a_folder_is_known_again_until_a_picture_changes(tmp_path: Path) -> None:
    folder = shot(tmp_path / "here" / "shot", "1.png", "2.png")
    before = fingerprint(folder)
    moved = folder.rename(tmp_path / "shot")
    assert fingerprint(moved) == before
    write_picture(moved / "2.png", gradient(7, 64, 48))
    assert fingerprint(moved) != before


def test_rates_are_those_that_are_meant() -> None:
    assert frame_rate("25") == frame_rate(25.0) == 25
    assert frame_rate("23.976") == frame_rate("23.98") == frame_rate("24000/1001") == Fraction(24000, 1001)
    assert frame_rate("12.5") == Fraction(25, 2)
    assert frame_rate(None) is None
    for wrong in ("", "0", "-1", "fast", "1/0", "nan", "1e9"):
        with pytest.raises(ConfigError):
            frame_rate(wrong)


def test_calls_and_plans_take_folders_at_a_rate(tmp_path: Path) -> None:
    shot(tmp_path / "shots" / "one.v1", "1.png", "2.png")
    shot(tmp_path / "shots" / "two", "1.png")
    assert calls._swap_job("shot", "model", "out", {"frame_rate": 23.976}).frame_rate == Fraction(24000, 1001)

    plan = tmp_path / "plan.toml"
    for inputs in ("shots", "shots/*", "shots/*/*.png"):
        plan.write_text(
            f'[[job]]\nkind = "swap"\ninputs = ["{inputs}"]\nframe_rate = 24\nmodel = "model"\nout = "out/{{stem}}"\n'
            f'[[job]]\nkind = "extract"\ninputs = ["{inputs}"]\nframe_rate = "24000/1001"\nout = "faces/all"\n'
        )
        extracted, one, two = (task.job for task in sorted(read_plan(plan), key=lambda task: task.name))
        assert isinstance(extracted, ExtractJob)
        assert extracted.inputs == (tmp_path / "shots" / "one.v1", tmp_path / "shots" / "two")
        assert extracted.frame_rate == Fraction(24000, 1001)
        for job, name in ((one, "one_v1"), (two, "two")):
            assert isinstance(job, SwapJob)
            assert (job.out, job.frame_rate) == (tmp_path / "out" / name, 24)
