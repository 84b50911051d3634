"""A faceset: one person's aligned faces on disk.

    PERSON/faces/*.jpg     crops that one can look through and delete by hand: a deleted file is an excluded face
    PERSON/faceset.db      SQLite: where each face comes from, how it was cut, and whether it is kept

Nothing is ever removed by the program: leaving a face out is a state with a reason. Every change is one
transaction and pictures are written before the rows that name them, so a killed process leaves a faceset
that is whole up to some frame, from where extraction goes on.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from faceswap.errors import FaceError, OutputError
from faceswap.geometry import Similarity
from faceswap.media.pictures import write_picture
from faceswap.types import AlignedFace, Face

_VERSION = 1
_SCHEMA = """
CREATE TABLE about (version INTEGER NOT NULL, crop_size INTEGER NOT NULL);
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,     -- of the file's content and the frames asked for
    next_frame INTEGER NOT NULL DEFAULT 0,
    finished INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE face (
    id INTEGER PRIMARY KEY,
    file TEXT NOT NULL UNIQUE,            -- name inside faces/
    source INTEGER NOT NULL REFERENCES source(id),
    frame INTEGER NOT NULL,
    time TEXT NOT NULL,                   -- exact seconds, as a fraction
    box TEXT NOT NULL,                    -- JSON: left, top, right, bottom in source pixels
    score REAL NOT NULL,
    landmarks TEXT NOT NULL,              -- JSON: five points in source pixels
    transform TEXT NOT NULL,              -- JSON: a, b, tx, ty from source to crop pixels
    sharpness REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('kept', 'rejected')),
    reason TEXT                           -- why it was rejected
);
"""


@dataclass(frozen=True)
class Source:
    """A video or picture that faces are taken from, and how far the work on it has come."""

    id: int
    path: Path
    next_frame: int
    """The first frame not looked at yet."""
    finished: bool


@dataclass(frozen=True)
class FaceRecord:
    """One face of a faceset, without its picture."""

    file: str
    """Name inside `faces/`."""
    source: int
    frame: int
    time: Fraction
    face: Face
    to_crop: Similarity
    sharpness: float
    reason: str | None
    """Why it was rejected; None for a face that is kept."""

    @property
    def kept(self) -> bool:
        """Whether training uses it."""
        return self.reason is None


class Faceset(AbstractContextManager["Faceset"]):
    """An open faceset. Use `Faceset.create` to write (it opens an existing one to go on), `Faceset.open` to read."""

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = database
        self.crop_size: int = database.execute("SELECT crop_size FROM about").fetchone()[0]

    @classmethod
    def create(cls, folder: Path, crop_size: int) -> Faceset:
        """Make the faceset at `folder` with crops of `crop_size` px, or open the one that is there.

        Raises OutputError if the folder cannot be written or holds crops of another size.
        """
        path = folder / "faceset.db"
        try:
            (folder / "faces").mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _initialise(path, crop_size)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(
                f"the faceset folder {folder} cannot be written ({error})", "Choose another folder with --out"
            ) from error
        faceset = cls.open(folder)
        if faceset.crop_size != crop_size:
            faceset.close()
            raise OutputError(
                f"the faceset {folder} holds crops of {faceset.crop_size} px, not {crop_size}",
                f"Use --size {faceset.crop_size}, or another folder",
            )
        return faceset

    @classmethod
    def open(cls, folder: Path) -> Faceset:
        """Open an existing faceset. Raises FaceError if there is none, or it is damaged or of another version."""
        path = folder / "faceset.db"
        if not path.is_file():
            raise FaceError(
                f"{folder} is not a faceset: it has no faceset.db",
                f"Make one first: faceswap extract VIDEO --out {folder}",
            )
        try:
            database = sqlite3.connect(path, timeout=30)
            version = database.execute("SELECT version FROM about").fetchone()[0]
        except (sqlite3.Error, TypeError) as error:
            raise FaceError(
                f"the faceset database {path} cannot be read ({error})",
                f"Delete the folder {folder} and extract again",
            ) from error
        if version != _VERSION:
            database.close()
            raise FaceError(
                f"the faceset {folder} was made by another version of this program (format {version}, not {_VERSION})",
                "Extract again into a new folder",
            )
        return cls(folder, database)

    def close(self) -> None:
        """Close the database; further use is an error."""
        self._db.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing of it. Raises OutputError where the disk does not let us."""
        try:
            with self._db:
                yield
        except sqlite3.Error as error:
            raise OutputError(
                f"the faceset {self.folder} cannot be written ({error})",
                "Check the disk's space and that no other program has the faceset open, then run the same again",
            ) from error

    def path(self, record: FaceRecord) -> Path:
        """Where the crop of `record` lies, or lay before somebody deleted it."""
        return self.folder / "faces" / record.file

    def source(self, path: Path, frames: tuple[int, int | None] = (0, None)) -> Source:
        """The entry of this video or picture for this frame range, made if it is new."""
        key = _fingerprint(path, frames)
        with self._transaction():
            self._db.execute(
                "INSERT INTO source (path, fingerprint, next_frame) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (str(path), key, frames[0]),
            )
        row = self._db.execute(
            "SELECT id, path, next_frame, finished FROM source WHERE fingerprint = ?", (key,)
        ).fetchone()
        return Source(row[0], Path(row[1]), row[2], bool(row[3]))

    def add(self, source: Source, faces: Iterable[tuple[AlignedFace, FaceRecord]], next_frame: int) -> None:
        """Store crops and records, and note that all of `source` before `next_frame` is done, at once."""
        rows = []
        for aligned, record in faces:
            write_picture(self.path(record), aligned.image, quality=95)
            rows.append(_to_row(record))
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO face (file, source, frame, time, box, score, landmarks, transform, sharpness,"
                " state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._db.execute("UPDATE source SET next_frame = ? WHERE id = ?", (next_frame, source.id))

    def finish(self, source: Source) -> None:
        """Note that nothing of `source` is left to look at."""
        with self._transaction():
            self._db.execute("UPDATE source SET finished = 1 WHERE id = ?", (source.id,))

    def records(self, kept_only: bool = False) -> list[FaceRecord]:
        """All faces in the order of their sources and frames; those whose picture was deleted by hand left out."""
        present = {p.name for p in (self.folder / "faces").glob("*.jpg")}
        rows = self._db.execute(
            "SELECT file, source, frame, time, box, score, landmarks, transform, sharpness, reason"
            " FROM face ORDER BY source, frame, file"
        )
        records = (_from_row(row) for row in rows if row[0] in present)
        return [record for record in records if record.kept or not kept_only]

    def last_kept(self, source: Source) -> FaceRecord | None:
        """The latest kept face of `source`."""
        row = self._db.execute(
            "SELECT file, source, frame, time, box, score, landmarks, transform, sharpness, reason"
            " FROM face WHERE source = ? AND state = 'kept' ORDER BY frame DESC LIMIT 1",
            (source.id,),
        ).fetchone()
        return _from_row(row) if row else None


def _initialise(path: Path, crop_size: int) -> None:
    """Make an empty database under another name first: a killed process never leaves half a schema."""
    fresh = path.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    database = sqlite3.connect(fresh)
    try:
        database.executescript(_SCHEMA)
        database.execute("INSERT INTO about VALUES (?, ?)", (_VERSION, crop_size))
        database.commit()
    finally:
        database.close()
    fresh.replace(path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.close()


def _fingerprint(path: Path, frames: tuple[int, int | None]) -> str:
    """Tells sources apart by content, wherever they are moved: size, both ends of the file, and the frame range."""
    digest = hashlib.sha256(repr((path.name, path.stat().st_size, frames)).encode())
    with path.open("rb") as file:
        digest.update(file.read(1 << 20))
        file.seek(max(0, path.stat().st_size - (1 << 20)))
        digest.update(file.read())
    return digest.hexdigest()


def _to_row(record: FaceRecord) -> Sequence[object]:
    face, t = record.face, record.to_crop
    return (
        record.file,
        record.source,
        record.frame,
        str(record.time),
        json.dumps(face.box),
        face.score,
        json.dumps(face.landmarks.tolist()),
        json.dumps((t.a, t.b, t.tx, t.ty)),
        record.sharpness,
        "kept" if record.kept else "rejected",
        record.reason,
    )


def _from_row(row: Sequence[Any]) -> FaceRecord:
    file, source, frame, time, box, score, landmarks, transform, sharpness, reason = row
    left, top, right, bottom = json.loads(box)
    face = Face((left, top, right, bottom), float(score), np.array(json.loads(landmarks)))
    return FaceRecord(
        file,
        int(source),
        int(frame),
        Fraction(time),
        face,
        Similarity(*json.loads(transform)),
        float(sharpness),
        reason,
    )
