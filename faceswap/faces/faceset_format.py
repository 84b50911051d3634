"""What a faceset's database holds: its tables, and the records that their rows are.

Version 3 of the format. Version 2 did not know how a file had been extracted; it is brought up when it is opened.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from faceswap.database import array_of, exact_time, of_kind
from faceswap.documents import parse_json
from faceswap.faces.align import natural_side
from faceswap.faces.quality import Measures
from faceswap.geometry import Similarity
from faceswap.types import Embedding, Face

VERSION = 3
_MEASURES = [field.name for field in dataclasses.fields(Measures)]  # one more makes another version of the format
TABLES = f"""
CREATE TABLE about (
    crop_size INTEGER NOT NULL,           -- side of every crop; 0: each is as large as its face in the footage
    person BLOB                           -- whose faces these are: 128 float64, little-endian
);
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,     -- of the file's content, the frames asked for, and how it is extracted
    next_frame INTEGER NOT NULL DEFAULT 0,
    finished INTEGER NOT NULL DEFAULT 0,
    content TEXT NOT NULL DEFAULT ''      -- the fingerprint without the last of these
);
CREATE TABLE face (
    file TEXT PRIMARY KEY,                -- name inside faces/, without a number from sorting
    source INTEGER NOT NULL REFERENCES source(id),
    frame INTEGER NOT NULL,
    time TEXT NOT NULL,                   -- exact seconds, as a fraction
    track INTEGER NOT NULL,
    presence REAL NOT NULL,
    points BLOB NOT NULL,                 -- 468 x 3 float32, little-endian, pixels of the source
    transform TEXT NOT NULL,              -- JSON: a, b, tx, ty from source to crop pixels
    {", ".join(f"{name} REAL NOT NULL" for name in _MEASURES)},  -- see faceswap.faces.quality.Measures
    embedding BLOB,                       -- 128 float64, little-endian, once somebody has asked who it is
    reason TEXT,                          -- why it is rejected; NULL: it is kept
    cluster INTEGER                       -- its group, 1 the largest, once somebody has asked for groups
);
CREATE TABLE change (                     -- of states, by commands that can be undone
    id INTEGER PRIMARY KEY,
    command TEXT NOT NULL
);
CREATE TABLE changed (
    change INTEGER NOT NULL REFERENCES change(id) ON DELETE CASCADE,
    file TEXT NOT NULL,
    before TEXT                           -- the reason that it had
);
"""
INDICES = """
CREATE INDEX source_content ON source (content);
CREATE INDEX face_source ON face (source, frame);
"""
REPLACE_FACE = f"INSERT OR REPLACE INTO face VALUES ({', '.join('?' * (8 + len(_MEASURES) + 3))})"  # noqa: S608  # question marks alone
"""Of a row as `to_row` makes it."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A video or picture that faces are taken from in some way, and how far the work on it has come."""

    id: int
    path: Path
    next_frame: int
    """The first frame not looked at yet."""
    finished: bool


@dataclass(frozen=True, kw_only=True)
class FaceRecord:
    """One face of a faceset, without its picture."""

    file: str
    """Name inside `faces/`, without a number from sorting."""
    source: int
    frame: int
    time: Fraction
    face: Face
    to_crop: Similarity
    measures: Measures
    reason: str | None = None
    """Why it is rejected; None for a face that is kept."""
    embedding: Embedding | None = None
    """Who it is, once somebody has asked."""
    cluster: int | None = None
    """The group of look-alikes that it was put into, 1 for the largest, once somebody has asked for groups."""

    @property
    def side(self) -> int:
        """Of the crop, in pixels."""
        return round(self.to_crop.scale * natural_side(self.face.points))

    @property
    def kept(self) -> bool:
        """Whether training uses it."""
        return self.reason is None


def upgrade(database: sqlite3.Connection) -> int:
    """From version 2, which did not know how a file had been extracted: as by default, it is supposed."""
    try:
        database.execute("BEGIN IMMEDIATE")
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        if version == 2:  # no other process has been faster
            database.execute("ALTER TABLE source ADD COLUMN content TEXT NOT NULL DEFAULT ''")
            database.execute("UPDATE source SET content = fingerprint")
            for statement in INDICES.strip().splitlines():
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {VERSION:d}")
        database.commit()
    except sqlite3.Error:
        database.close()
        raise
    return VERSION


def to_row(record: FaceRecord) -> tuple[object, ...]:
    face, t = record.face, record.to_crop

    return (
        record.file,
        record.source,
        record.frame,
        str(record.time),
        face.track,
        face.presence,
        face.points.astype("<f4").tobytes(),
        json.dumps((t.a, t.b, t.tx, t.ty)),
        *dataclasses.astuple(record.measures),
        None if record.embedding is None else record.embedding.astype("<f8").tobytes(),
        record.reason,
        record.cluster,
    )


def from_row(row: Sequence[Any]) -> FaceRecord:
    """Raises ValueError for a row that this program cannot have written."""
    file, source, frame, time, track, presence, points, transform, *measures, embedding, reason, cluster = row

    if Path(of_kind(str, file)).name != file:
        raise ValueError("a row names a picture elsewhere")
    to_crop = Similarity(*map(float, parse_json(of_kind(str, transform))))
    if not to_crop.scale > 0:
        raise ValueError("a row holds a crop of no size")

    return FaceRecord(
        file=file,
        source=of_kind(int, source),
        frame=of_kind(int, frame),
        time=exact_time(time),
        face=Face(array_of(points, "<f4", 468, 3), _finite(presence), of_kind(int, track)),
        to_crop=to_crop,
        measures=Measures(**{name: _finite(value) for name, value in zip(_MEASURES, measures, strict=True)}),
        reason=None if reason is None else of_kind(str, reason),
        embedding=None if embedding is None else array_of(embedding, "<f8", 128),
        cluster=None if cluster is None else of_kind(int, cluster),
    )


def _finite(value: object) -> float:
    if not math.isfinite(number := of_kind(float, value)):
        raise ValueError("a row holds a number that is none")
    return number


def to_source(row: Sequence[Any]) -> Source:
    number, path, next_frame, finished = row
    return Source(
        id=of_kind(int, number),
        path=Path(of_kind(str, path)),
        next_frame=of_kind(int, next_frame),
        finished=bool(finished),
    )
