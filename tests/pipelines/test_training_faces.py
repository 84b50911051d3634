"""What training is shown of a faceset: mirror images where the person was filmed turned to one side alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from faceswap.faces.curate import one_sided
from faceswap.faces.faceset import Faceset
from faceswap.faces.quality import Measures, measure
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.training.data import load_faces
from support.heads import a_face

FACES = 25
"""Turned by 0 to 24 degrees; every fifth is rejected."""


def faceset(folder: Path) -> Path:
    (folder / "clip.mp4").write_bytes(b"whatever")
    with Faceset.create(folder / "faces", 64) as made:
        source = made.source(folder / "clip.mp4")
        made.add(source, [a_face(source.id, frame) for frame in range(FACES)], next_frame=FACES)
    return folder / "faces"


def turned(*yaws: float) -> list[Measures]:
    one = measure(a_face(1, 0)[0])
    return [replace(one, yaw=yaw) for yaw in yaws]


class TestOneSided:
    def test_heads_turned_further_than_to_the_other_side(self) -> None:
        assert one_sided(turned(*[0.0] * 10, -10.0, -9.0, 30.0, 25.0, 8.0)).tolist() == [12, 13]

    def test_who_is_filmed_alike_from_both_sides_has_none(self) -> None:
        assert len(one_sided(turned(*np.linspace(-30, 30, 200).tolist()))) == 0

    def test_of_no_faces_none(self) -> None:
        assert len(one_sided([])) == 0


def test_such_faces_come_mirrored_before_the_others_if_that_is_wanted(tmp_path: Path) -> None:
    folder = faceset(tmp_path)
    plain, mirrored = run(load_faces(folder, 64)), run(load_faces(folder, 64, mirror=True))
    more = len(mirrored) - len(plain)
    assert torch.equal(mirrored[more:], plain)
    assert 0.7 * len(plain) < more < len(plain)  # nearly all look to one side

    images = mirrored[:more].flip(-1)
    assert all(any(torch.equal(image, face) for face in plain) for image in images)
