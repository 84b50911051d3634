"""The demo's people: portraits on film, who hold still for nobody and stay who they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from faceswap.faces.faceset import Faceset
from faceswap.faces.identity import SAME_PERSON, Identifier, distance
from faceswap.faces.landmarks import eye_opening, five_points, mouth_opening, pose
from faceswap.faces.occlusion import OcclusionFinder
from faceswap.media.pictures import write_picture
from faceswap.training.bank import VISIBLE
from faceswap.types import Face, Picture
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.curation.faces import stats_faces
from faceswap_pipelines.curation.reject import RejectJob, reject_faces
from faceswap_pipelines.demo.people import PEOPLE, SIZE, film
from faceswap_pipelines.demo.run import leads
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.training.data import load_faces
from faceswap_pipelines.training.persons import examples

SHOWN = slice(0, 90, 9)


@pytest.fixture(scope="module")
def films() -> dict[str, list[Picture]]:
    """Every ninth of the first 90 frames, by person."""
    return {person: list(film(person, 90))[SHOWN] for person in PEOPLE}


@pytest.fixture(scope="module")
def faces(films: dict[str, list[Picture]]) -> dict[str, list[Face]]:
    finder = FaceFinder(torch.device("cpu"))
    found = {person: [faces.faces for _, faces in finder.look_at(frames)[1]] for person, frames in films.items()}
    return {person: [max(seen, key=lambda face: face.size) for seen in each] for person, each in found.items()}


def test_every_frame_shows_one_person_large_enough(faces: dict[str, list[Face]]) -> None:
    for seen in faces.values():
        assert len(seen) == 10
        assert min(face.size for face in seen) > 0.35 * SIZE


def test_they_move_as_people_do(faces: dict[str, list[Face]]) -> None:
    for seen in faces.values():
        points = [face.points for face in seen]
        assert np.ptp([pose(each).yaw for each in points]) > 6
        assert np.ptp([mouth_opening(each) for each in points]) > 0.02
        assert np.ptp([sum(eye_opening(each)) for each in points]) > 0.03


def test_each_stays_who_they_are_and_is_nobody_else(
    films: dict[str, list[Picture]], faces: dict[str, list[Face]]
) -> None:
    identifier = Identifier()
    known = {
        person: identifier.embed(
            [(p, five_points(f.points)) for p, f in zip(films[person], faces[person], strict=True)]
        )
        for person in PEOPLE
    }
    one, other = known.values()
    for own in (one, other):
        assert max(distance(own[0], each) for each in own) < SAME_PERSON
    assert min(distance(each, other[0]) for each in one) > SAME_PERSON


def test_a_film_is_the_same_each_time_and_longer_ones_begin_alike(films: dict[str, list[Picture]]) -> None:
    person = next(iter(PEOPLE))
    again = next(film(person, 90))
    np.testing.assert_array_equal(again, films[person][0])
    assert again.shape == (SIZE, SIZE, 3)


def test_both_casts_have_two_leads() -> None:
    assert leads(drawn=False) == list(PEOPLE)
    assert len(leads(drawn=True)) == 2


@pytest.fixture(scope="module")
def covered(
    films: dict[str, list[Picture]], faces: dict[str, list[Face]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The faces of a person who always wears glasses, with a board before the mouth in every third frame."""
    person = next(iter(films))
    folder = tmp_path_factory.mktemp("covered")
    (folder / "in").mkdir()
    for index, (picture, face) in enumerate(zip(films[person], faces[person], strict=True)):
        shown = with_glasses(picture, face)
        if index % 3 == 1:
            shown[290:, 150:380] = (40, 70, 150)
        write_picture(folder / "in" / f"{index}.png", shown)
    run(extract(ExtractJob(inputs=tuple(sorted((folder / "in").iterdir())), out=folder / "faces", device="cpu")))
    return folder / "faces"


def with_glasses(picture: Picture, face: Face) -> Picture:
    """Dark round frames and a bridge between them."""
    left, right = five_points(face.points)[:2]
    across = right - left
    radius, middles = (
        round(0.38 * np.hypot(*across)),
        [tuple(np.round(eye).astype(int).tolist()) for eye in (left, right)],
    )
    bridge = [tuple(np.round(left + share * across).astype(int).tolist()) for share in (0.38, 0.62)]
    worn = picture.copy()
    for middle in middles:
        cv2.circle(worn, middle, radius, (25, 20, 20), 4, cv2.LINE_AA)
    return cv2.line(worn, *bridge, (25, 20, 20), 4, cv2.LINE_AA).astype(np.uint8)


def test_training_sees_what_covers_faces_and_leaves_them_what_is_theirs(covered: Path) -> None:
    faces = run(load_faces(covered, 128, finder=OcclusionFinder(torch.device("cpu"))))
    seen = faces[:, VISIBLE].float() / 255
    behind = torch.arange(len(faces)) % 3 == 1
    mouth, glasses = (slice(96, 112), slice(50, 78)), (slice(44, 70), slice(40, 88))
    assert seen[behind][:, *mouth].mean() < 0.1
    assert seen[~behind][:, *mouth].mean() > 0.8
    assert seen[:, *glasses].mean() > 0.95
    assert run(load_faces(covered, 128)).shape[1] == VISIBLE


def test_examples_are_pictures_with_nothing_in_front_of_the_face_but_what_is_theirs(covered: Path) -> None:
    [pictures] = run(examples({"a": covered}, side=256, mirror=False, device=torch.device("cpu"))).values()
    assert 5 <= len(pictures) <= 7  # of ten, three of which are covered; glasses are in all of them
    for picture in pictures:
        side = picture.shape[0]
        board = picture[round(0.8 * side) :, side // 2 - 20 : side // 2 + 20].reshape(-1, 3).mean(axis=0)
        assert board[0] > board[2]  # skin, and no blue


def test_faces_behind_things_are_left_out(covered: Path, tmp_path: Path) -> None:
    result = run(reject_faces(RejectJob(faceset=covered, covered=0.2), tmp_path / "sheet.png"))
    assert result.rejected == {"covered": 3}
    with Faceset.open(covered) as faceset:
        assert [record.kept for record in faceset.records()] == [index % 3 != 1 for index in range(10)]
        faceset.undo()


def test_how_much_is_covered_is_a_measure_to_choose_by(covered: Path, tmp_path: Path) -> None:
    stats = run(stats_faces(covered, tmp_path / "stats.png", "cpu"))
    assert stats.medians["occluded"] < 0.2 < stats.spread["occluded"][1]
    assert any("occluded>" in hint for hint in stats.hints)
    conditions = ("occluded>0.2", "mouth<0.2")
    result = run(reject_faces(RejectJob(faceset=covered, where=conditions, dry_run=True), tmp_path / "sheet.png"))
    assert result.rejected == {"occluded>0.2 and mouth<0.2": 3}
