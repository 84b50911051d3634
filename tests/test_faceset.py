"""A faceset's promises to what was written before something goes wrong."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from faceswap.errors import FaceError, OutputError
from faceswap.faces.align import TEMPLATE, align
from faceswap.faces.faceset import FaceRecord, Faceset
from faceswap.types import AlignedFace, Face


def a_face(source: int, frame: int) -> tuple[AlignedFace, FaceRecord]:
    image = np.full((64, 64, 3), frame % 255, np.uint8)
    face = align(image, Face((0.0, 0.0, 64.0, 64.0), 1.0, TEMPLATE * 64), 64)
    reason = "blurred" if frame % 5 == 4 else None
    record = FaceRecord(f"{frame:06d}.jpg", source, frame, Fraction(frame, 25), face.face, face.to_crop, 0.3, reason)
    return face, record


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"whatever")
    with Faceset.create(tmp_path / "f", 64) as faceset:
        source = faceset.source(clip)
        written = [a_face(source.id, frame) for frame in range(10)]
        faceset.add(source, written, next_frame=10)
        faceset.finish(source)
    with Faceset.open(tmp_path / "f") as faceset:
        again = faceset.source(clip)
        assert (again.finished, again.next_frame) == (True, 10)
        for (_, before), after in zip(written, faceset.records(), strict=True):
            np.testing.assert_array_equal(after.face.landmarks, before.face.landmarks)
            assert (after.time, after.to_crop, after.reason) == (before.time, before.to_crop, before.reason)
        assert [record.frame for record in faceset.records(kept_only=True)] == [0, 1, 2, 3, 5, 6, 7, 8]
        last = faceset.last_kept(again)
        assert last is not None
        assert last.frame == 8


def test_the_same_footage_is_known_again_after_a_move_but_not_after_an_edit(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    first, moved = tmp_path / "clip.mp4", tmp_path / "elsewhere" / "clip.mp4"
    first.write_bytes(b"one")
    with Faceset.create(tmp_path / "f", 64) as faceset:
        before = faceset.source(first)
        first.rename(moved)
        assert faceset.source(moved).id == before.id
        moved.write_bytes(b"two")
        assert faceset.source(moved).id != before.id


def test_a_full_disk_is_an_error_with_a_remedy_and_costs_nothing_that_was_written(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"whatever")
    with Faceset.create(tmp_path / "f", 64) as faceset:
        source = faceset.source(clip)
        faceset.add(source, [a_face(source.id, 0)], next_frame=1)
        pages = faceset._db.execute("PRAGMA page_count").fetchone()[0]
        faceset._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to run out of disk
        with pytest.raises(OutputError, match="full"):
            faceset.add(source, [a_face(source.id, frame) for frame in range(1, 400)], next_frame=400)
        assert len(faceset.records()) == 1
        assert faceset.source(clip).next_frame == 1


def test_other_sizes_and_damaged_databases_are_refused(tmp_path: Path) -> None:
    Faceset.create(tmp_path / "f", 64).close()
    with pytest.raises(OutputError, match="crops of 64 px"):
        Faceset.create(tmp_path / "f", 128)
    (tmp_path / "f" / "faceset.db").write_bytes(b"not a database, not at all" * 40)
    with pytest.raises(FaceError, match="cannot be read"):
        Faceset.open(tmp_path / "f")
