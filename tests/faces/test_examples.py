"""Which pictures a model keeps of its persons, and that they are read as they were written, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faceswap.errors import ModelError
from faceswap.faces.examples import MOST, candidates, examples_file, limited, read_examples, write_examples
from faceswap.faces.quality import Measures
from faceswap.model.arrays import write_arrays
from faceswap.types import Picture

MEASURES = Measures(size=300.0, sharpness=0.3, brightness=120.0, yaw=0.0, pitch=0.0, roll=0.0, eyes=0.3, mouth=0.0)


def smooth(seed: int, side: int = 64) -> Picture:
    """One that JPEG keeps."""
    across, down = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    shades = np.random.default_rng(seed).uniform(60, 180, (2, 3))
    return np.rint(across[..., None] * shades[0] / 2 + down[..., None] * shades[1] / 2 + 20).astype(np.uint8)


class TestChosen:
    def test_there_are_enough_of_them_and_none_twice(self) -> None:
        chosen = candidates([replace(MEASURES, yaw=float(yaw)) for yaw in np.linspace(-30, 30, 5 * MOST)])
        assert len(set(chosen.tolist())) == len(chosen) == 2 * MOST

    def test_of_few_faces_all_are(self) -> None:
        assert sorted(candidates([MEASURES] * 3).tolist()) == [0, 1, 2]
        assert len(candidates([])) == 0

    def test_faces_much_smaller_than_the_others_are_not(self) -> None:
        sizes = [300.0, 90.0] * 20
        chosen = candidates([replace(MEASURES, size=size) for size in sizes])
        assert {sizes[at] for at in chosen.tolist()} == {300.0}

    def test_rare_expressions_come_before_more_of_the_usual_ones(self) -> None:
        measures = [MEASURES] * 500 + [replace(MEASURES, mouth=0.1, eyes=0.05)] * 20
        assert (candidates(measures)[:8] >= 500).any()


class TestOnDisk:
    def test_they_are_read_as_they_were_written_in_their_order(self, tmp_path: Path) -> None:
        pictures = {"ann.of.x": [smooth(n) for n in range(12)], "b": [smooth(50, side=96)]}
        write_examples(tmp_path, pictures)
        read = read_examples(tmp_path)
        assert sorted(read) == ["ann.of.x", "b"]
        for person, there in pictures.items():
            for one, other in zip(read[person], there, strict=True):
                np.testing.assert_allclose(one.astype(int), other.astype(int), atol=4)

    def test_a_model_from_before_has_none(self, tmp_path: Path) -> None:
        assert read_examples(tmp_path) == {}

    @pytest.mark.parametrize("damage", ["empty", "cut", "no picture", "no square", "cut picture"])
    def test_a_damaged_file_is_told(self, tmp_path: Path, damage: str) -> None:
        write_examples(tmp_path, {"a": [smooth(0)[:40] if damage == "no square" else smooth(0)]})
        file = examples_file(tmp_path)
        content = file.read_bytes()
        match damage:
            case "empty" | "cut":
                file.write_bytes(content[: {"empty": 0, "cut": 100}[damage]])
            case "no picture":
                write_arrays(file, {"0000.a": np.zeros(100, np.uint8)})
            case "cut picture":
                write_arrays(file, {"0000.a": np.frombuffer(content, np.uint8)[-600:-300].copy()})
        with pytest.raises(ModelError, match=r"examples\.safetensors"):
            read_examples(tmp_path)


def test_crops_that_are_finer_than_swaps_get_are_reduced() -> None:
    assert limited(smooth(0, side=96), side=64).shape == (96, 96, 3)
    assert limited(smooth(0, side=96), side=40).shape == (80, 80, 3)
