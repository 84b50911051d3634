"""A faceset's promises to what was written before something goes wrong."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from faceswap.database import lock
from faceswap.errors import FaceError, OutputError
from faceswap.faces.faceset import Faceset
from faceswap.media.pictures import read_picture
from support.heads import a_face


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
            np.testing.assert_array_equal(after.face.points, before.face.points)
            for name in ("time", "to_crop", "reason", "measures"):
                assert getattr(after, name) == getattr(before, name)
            assert (after.embedding is None) == (before.embedding is None)
            assert before.embedding is None or (after.embedding == before.embedding).all()
        assert [record.frame for record in faceset.records(kept_only=True)] == [0, 1, 2, 3, 5, 6, 7, 8]
        last = faceset.last_kept(again)
        assert last is not None
        assert last.frame == 8


def test_crops_are_as_large_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"whatever")
    for size in (64, None):
        with Faceset.create(tmp_path / str(size), size) as faceset:
            source = faceset.source(tmp_path / "clip.mp4")
            faceset.add(source, [a_face(source.id, 0)], next_frame=1)
            (record,) = faceset.records()
            assert faceset.crop_size == size
            assert record.side == read_picture(faceset.path(record)).shape[0] == 64


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


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems take no such names")
def test_footage_whose_name_is_no_text(tmp_path: Path) -> None:
    video = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    video.write_bytes(b"first")
    with Faceset.create(tmp_path / "faces", 64) as faceset:
        source = faceset.source(video)
        assert source.path.name == "caf\\xe9.mp4"
        assert faceset.source(video) == source


def test_of_the_ways_in_which_a_file_was_extracted_the_last_one_counts(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"whatever")

    def kept() -> set[int]:
        return {record.source for record in faceset.records(kept_only=True)}

    with Faceset.create(tmp_path / "f", 64) as faceset:
        first, second = faceset.source(clip), faceset.source(clip, extraction_key="closely")
        for source in (first, second):
            faces = [a_face(source.id, frame) for frame in range(10)]
            named = [(face, dataclasses.replace(record, file=f"{source.id}{record.file}")) for face, record in faces]
            faceset.add(source, named, next_frame=10)
            faceset.finish(source)
        assert kept() == {second.id}
        faceset.finish(faceset.source(clip))
        assert kept() == {first.id}
        assert len(faceset.records(kept_only=True)) == 8
        faceset.undo()
        assert kept() == {second.id}
        faceset.undo()
        assert kept() == {first.id}
        faceset.finish(faceset.source(clip, extraction_key="in vain"))
        assert kept() == {first.id}


def test_a_faceset_of_the_version_before_is_used_on(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"whatever")
    with Faceset.create(tmp_path / "f", 64) as faceset:
        known = faceset.source(clip)
        faceset._db.executescript(
            "DROP INDEX source_content; DROP INDEX face_source;"
            "ALTER TABLE source DROP COLUMN content; PRAGMA user_version = 2"
        )
    with Faceset.open(tmp_path / "f") as faceset:
        assert faceset.source(clip) == known
        faceset.finish(faceset.source(clip, extraction_key="closely"))


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
    with Faceset.create(tmp_path / "f", None) as faceset:  # whatever it has will do
        assert faceset.crop_size == 64
    (tmp_path / "f" / "faceset.db").write_bytes(b"not a database, not at all" * 40)
    with pytest.raises(FaceError, match="cannot be read"):
        Faceset.open(tmp_path / "f")


def test_two_that_begin_at_the_same_instant(tmp_path: Path) -> None:
    """One of them makes it, the other opens it or is told to wait; it is whole in any case."""
    for number in range(20):
        folder, start = tmp_path / str(number), threading.Barrier(4)

        def begin(folder: Path = folder, start: threading.Barrier = start) -> str:
            start.wait()
            try:
                Faceset.create(folder, 64).close()
            except OutputError as error:
                return error.problem
            return "made"

        with ThreadPoolExecutor(4) as pool:
            said = [job.result() for job in [pool.submit(begin) for _ in range(4)]]
        assert "made" in said
        assert all("another program" in problem for problem in said if problem != "made")
        with Faceset.open(folder) as faceset:
            assert faceset.records() == []


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """Also where whoever had it removes its file in the end, as swaps do."""
    taken, inside, most = OutputError("taken", "wait"), [], []

    def work() -> int:
        got = 0
        for _ in range(10):
            try:
                held = lock(tmp_path / "lock", taken)
            except OutputError:
                continue
            inside.append(1)
            most.append(len(inside))
            got += 1
            inside.pop()
            (tmp_path / "lock").unlink()
            held.close()
        return got

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: work(), range(4))) > 0
    assert max(most) == 1
    with pytest.raises(OutputError, match="does not exist"):
        lock(tmp_path / "nowhere" / "lock", taken)


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no other users' permissions")
def test_what_may_not_be_written_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "f"
        with Faceset.create(folder, 64) as faceset:
            (Path(place) / "clip.mp4").write_bytes(b"whatever")
            source = faceset.source(Path(place) / "clip.mp4")
            faceset.add(source, [a_face(source.id, 0)], next_frame=1)
        for path in (folder, Path(place)):
            path.chmod(0o555)
        before = os.geteuid()
        try:
            if before == 0:  # to whom nothing is forbidden
                os.seteuid(65_534)
            with Faceset.open(folder) as faceset:
                assert len(faceset.records()) == 1
                with pytest.raises(OutputError, match="cannot be written"):
                    faceset.mark("reject", {"000000.jpg": "by hand"})
        finally:
            os.seteuid(before)
            for path in (Path(place), folder):
                path.chmod(0o755)
