"""Following faces: nobody is lost, mixed up or invented, and a tracker that was stopped goes on as if it had not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from faceswap.faces.align import crop_transform
from faceswap.faces.follow import overlap
from faceswap.faces.identity import distance
from faceswap.faces.person import dominant_identity, pick, tracks_of
from faceswap.faces.steady import stabilised
from faceswap.faces.track import DETECT_EVERY, Identity
from faceswap.faces.trackfile import Track, TrackFile
from faceswap.geometry import Similarity
from faceswap.media.codecs import Encoding
from faceswap.media.video_write import write_clip
from faceswap.streams import batched
from faceswap.types import Face, Frame, FrameFaces, Picture
from faceswap_pipelines.common.analyse import FaceFinder, analyse
from faceswap_pipelines.common.inputs import Footage
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import CAST, Performance, Stage, perform
from support.heads import head

RNG = np.random.default_rng(0)
SIDE = 192


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(torch.device("cpu"))


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    return {name: Stage(CAST[name], SIDE) for name in ("bruno", "carl")}


def film(pictures: Sequence[Picture]) -> list[Frame]:
    return [Frame(picture, i, Fraction(i, 25)) for i, picture in enumerate(pictures)]


def follow(finder: FaceFinder, frames: Sequence[Frame]) -> tuple[list[FrameFaces], list[Identity]]:
    tracker, found, identities = finder.tracker(), [], []
    for some in batched(frames, DETECT_EVERY):
        faces, who = tracker.follow(some)
        found += faces
        identities += who
    return found, identities


def play(stage: Stage, count: int, seed: int = 1) -> list[Picture]:
    return [stage.render(perform(i, seed)).image for i in range(count)]


def beside(left: Picture, right: Picture) -> Picture:
    return np.hstack([left, right])


def tracks_in(frame: FrameFaces) -> set[int]:
    return {face.track for face in frame.faces}


def test_one_face_is_one_track_in_every_frame(finder: FaceFinder, stages: dict[str, Stage]) -> None:
    found, identities = follow(finder, film(play(stages["bruno"], 40)))
    assert [tracks_in(frame) for frame in found] == [{1}] * 40
    assert [frame.cut for frame in found] == [True] + [False] * 39
    assert {who.track for who in identities} == {1}


def test_whoever_comes_in_late_is_there_from_the_first_moment(finder: FaceFinder, stages: dict[str, Stage]) -> None:
    """The search for newcomers is rare; the frames since they came in are made good."""
    grey: Picture = np.full((SIDE, SIDE, 3), 110, np.uint8)
    bruno, carl = play(stages["bruno"], 30), play(stages["carl"], 30)
    pictures = [beside(b, grey if i < 5 else c) for i, (b, c) in enumerate(zip(bruno, carl, strict=True))]
    found, _ = follow(finder, film(pictures))
    assert [len(frame.faces) for frame in found] == [1] * 5 + [2] * 25


def test_a_cut_ends_all_tracks_even_where_the_next_face_is_in_the_same_place(
    finder: FaceFinder, stages: dict[str, Stage]
) -> None:
    evening = [np.asarray(p // 3 * 2, np.uint8) for p in play(stages["carl"], 20)]
    found, _ = follow(finder, film(play(stages["bruno"], 20) + evening))
    assert [frame.index for frame in found if frame.cut] == [0, 20]
    assert {t for f in found[:20] for t in tracks_in(f)}.isdisjoint({t for f in found[20:] for t in tracks_in(f)})
    assert all(frame.faces for frame in found)


def test_a_lost_face_that_comes_back_keeps_its_number_and_none_is_made_up_meanwhile(
    finder: FaceFinder, stages: dict[str, Stage]
) -> None:
    wall: Picture = np.full((SIDE, 2 * SIDE, 3), 110, np.uint8)
    pictures = [beside(picture, wall) for picture in play(stages["bruno"], 40)]
    for picture in pictures[12:22]:
        picture[30:170, 40:150] = 110
    found, _ = follow(finder, film(pictures))
    assert [len(frame.faces) for frame in found[12:22]] == [0] * 10
    assert [tracks_in(frame) for frame in found[:12] + found[22:]] == [{1}] * 30


def test_two_people_who_pass_each_other_keep_their_tracks(finder: FaceFinder, stages: dict[str, Stage]) -> None:
    """Carl walks from right to left before bruno, hiding him for a while."""
    count, width = 70, 3 * SIDE
    background: Picture = np.full((SIDE, width, 3), 90, np.uint8)
    bruno, carl = play(stages["bruno"], count), play(stages["carl"], count)
    pictures = []
    for i in range(count):
        picture = background.copy()
        picture[:, SIDE : 2 * SIDE] = bruno[i]
        left = round((width - SIDE) * (1 - i / (count - 1)))
        cover = slice(30, SIDE - 30)
        picture[:, left : left + SIDE][:, cover] = carl[i][:, cover]
        pictures.append(picture)
    found, _ = follow(finder, film(pictures))
    first, last = found[2], found[-1]
    assert len(first.faces) == len(last.faces) == 2

    def order(frame: FrameFaces) -> list[int]:
        return [face.track for face in sorted(frame.faces, key=lambda face: face.box[0])]

    assert order(first) == order(last)[::-1]
    assert all(frame.faces for frame in found)
    for frame in found:
        boxes = [face.box for face in frame.faces]
        assert len(boxes) < 2 or overlap(boxes[0], boxes[1]) < 0.5


def test_noise_has_no_faces(finder: FaceFinder) -> None:
    found, _ = follow(finder, film([RNG.integers(0, 255, (SIDE, SIDE, 3), np.uint8) for _ in range(20)]))
    assert not any(frame.faces for frame in found)


def test_a_tracker_goes_on_from_its_state_as_if_it_had_not_stopped(
    finder: FaceFinder, stages: dict[str, Stage]
) -> None:
    frames = film(play(stages["carl"], 3 * DETECT_EVERY))
    whole, _ = follow(finder, frames)
    tracker = finder.tracker()
    got: list[FrameFaces] = []
    for some in batched(frames, DETECT_EVERY):
        tracker = finder.tracker(tracker.state() if got else None)
        got += tracker.follow(some)[0]
    for ours, theirs in zip(got, whole, strict=True):
        assert tracks_in(ours) == tracks_in(theirs)
        np.testing.assert_array_equal(ours.faces[0].points, theirs.faces[0].points)


@pytest.fixture
def tracks(tmp_path: Path) -> Iterator[TrackFile]:
    with TrackFile(tmp_path / "tracks.db") as file:
        yield file


def test_a_still_head_has_a_still_crop(finder: FaceFinder, tracks: TrackFile, tmp_path: Path) -> None:
    """Sensor noise, then a lossy codec; the crop's corners stay within a quarter of a pixel of 512."""
    still = Stage(CAST["bruno"], 512).render(Performance(yaw=8, pitch=3, jaw=0.1)).image
    shots = (np.clip(still + RNG.normal(0, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(45))
    write_clip(tmp_path / "still.mp4", shots, Fraction(25), Encoding(crf=23))
    analysis = run(analyse(Footage(path=tmp_path / "still.mp4"), tracks, finder))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    found = []
    for frame in stabilised(tracks.frames(analysis)):
        to_crop = crop_transform(frame.faces[0].points, 1)
        found.append(to_crop.inverse().apply(corners) * to_crop.scale * 512)
    away = np.array(found) - np.mean(found, axis=0)
    assert np.sqrt((away**2).mean()) < 0.25


def test_a_track_file_gives_back_what_was_seen(tracks: TrackFile) -> None:
    analysis = tracks.analysis("f" * 64, 3)
    frames = [
        FrameFaces(
            index=3,
            time=Fraction(1, 7),
            cut=True,
            faces=(head(track=2), head(Similarity(20.0, 0.0, 30.0, 30.0), track=1)),
        ),
        FrameFaces(index=4, time=Fraction(2, 7), cut=False, faces=()),
        FrameFaces(index=5, time=Fraction(3, 7), cut=False, faces=(head(track=2),)),
    ]
    who = [Identity(track, RNG.normal(size=128)) for track in (1, 2, 2)]
    tracks.add(analysis, frames[:2], who[:2], b"one")
    again = tracks.analysis("f" * 64, 3)
    assert (again.next_frame, again.state, again.finished) == (5, b"one", False)
    tracks.add(analysis, frames[2:], who[2:], b"two")
    tracks.finish(analysis)
    assert tracks.analysis("f" * 64, 3).finished
    for got, wanted in zip(tracks.frames(analysis), frames, strict=True):
        assert (got.index, got.time, got.cut) == (wanted.index, wanted.time, wanted.cut)
        for ours, theirs in zip(got.faces, wanted.faces, strict=True):
            np.testing.assert_array_equal(ours.points, theirs.points)
            assert (ours.track, ours.presence) == (theirs.track, theirs.presence)
    assert [(t.number, t.frames) for t in tracks.tracks(analysis)] == [(2, 2), (1, 1)]
    assert [frame.index for frame in tracks.frames(analysis, 4)] == [4, 5]
    assert (tracks.count(analysis), tracks.count(analysis, 4)) == (3, 2)
    assert list(tracks.frames(tracks.analysis("another", 0))) == []


def test_a_file_that_is_no_track_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "tracks.db"
    path.write_bytes(b"not a database, not at all" * 40)
    with TrackFile(path) as file:
        assert file.analysis("a", 0).id == 1
    with TrackFile(path) as file:
        assert file.analysis("b", 0).id == 2
        file.delete()
    assert list(tmp_path.iterdir()) == []


def test_the_main_person_is_seen_most_over_all_tracks() -> None:
    he, she = np.zeros(128), np.full(128, 0.1)  # 1.1 apart
    near = he + 0.01
    known = [
        Track(number=1, identity=she, frames=60, size=100.0),
        Track(number=2, identity=he, frames=40, size=100.0),
        Track(number=3, identity=near, frames=40, size=100.0),
    ]
    person = dominant_identity(known)
    assert person is not None
    assert distance(person, he) < 0.2
    assert tracks_of(person, known) == (2, 3)
    assert dominant_identity([]) is None


def test_of_two_pictures_of_a_person_the_first_track_is_meant() -> None:
    faces: list[Face] = [head(track=5), head(track=2), head(track=9)]
    assert pick(faces, (2, 5)) is faces[1]
    assert pick(faces, (7, 9)) is faces[2]
    assert pick(faces, ()) is None
