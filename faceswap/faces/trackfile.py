"""A track file: all faces in all frames of some videos, kept so that nothing has to be looked at twice.

SQLite. Every change is one transaction; a killed analysis goes on where it was, and ends as if it had not been killed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float

from faceswap.errors import OutputError
from faceswap.faces.database import create_database, open_database, transaction
from faceswap.faces.identity import Embedding, typical
from faceswap.faces.track import Identity
from faceswap.types import Face, FrameFaces, MeshPoints

_VERSION = 1
_SCHEMA = """
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL UNIQUE,     -- of the file's content and of all settings that decide what is found
    next_frame INTEGER NOT NULL,
    state BLOB,                           -- of the tracker, before next_frame
    finished INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE frame (
    source INTEGER NOT NULL REFERENCES source(id),
    frame INTEGER NOT NULL,
    time TEXT NOT NULL,                   -- exact seconds, as a fraction
    cut INTEGER NOT NULL,                 -- 1 where a scene begins
    PRIMARY KEY (source, frame)
) WITHOUT ROWID;
CREATE TABLE face (
    source INTEGER NOT NULL REFERENCES source(id),
    frame INTEGER NOT NULL,
    track INTEGER NOT NULL,
    presence REAL NOT NULL,
    size REAL NOT NULL,                   -- pixels of the source
    points BLOB NOT NULL,                 -- 468 x 3 float32, little-endian, pixels of the source
    PRIMARY KEY (source, frame, track)
);
CREATE TABLE identity (
    source INTEGER NOT NULL REFERENCES source(id),
    track INTEGER NOT NULL,
    embedding BLOB NOT NULL               -- 128 float64, little-endian
);
"""


@dataclass(frozen=True)
class Analysis:
    """How far the analysis of one video or picture has come."""

    id: int
    next_frame: int
    """The first frame not looked at yet."""
    state: bytes | None
    """Of the tracker that will go on there; None at the beginning."""
    finished: bool


@dataclass(frozen=True)
class Track:
    """One face that was followed through a video."""

    number: int
    """`Face.track` of its faces."""
    identity: Embedding
    """Who it typically is."""
    frames: int
    """In how many it was seen."""
    size: float
    """Of the face, mean, in pixels."""


class TrackFile(AbstractContextManager["TrackFile"]):
    """An open track file, made if it is not there, and made anew if it is not one or of another version."""

    def __init__(self, path: Path) -> None:
        """Raises OutputError if it can neither be read nor written."""
        self.path = path
        try:
            self._db = _open(path)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(
                f"the track file {path} cannot be written ({error})", "Check the folder, or choose another with --out"
            ) from error

    def close(self) -> None:
        """Close the file; further use is an error."""
        self._db.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def delete(self) -> None:
        """Close the file and remove it: it can be made again from the videos."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def analysis(self, fingerprint: str, first_frame: int) -> Analysis:
        """The entry of the video with this fingerprint, made if it is new."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO source (fingerprint, next_frame) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (fingerprint, first_frame),
            )
        row = self._db.execute(
            "SELECT id, next_frame, state, finished FROM source WHERE fingerprint = ?", (fingerprint,)
        ).fetchone()
        return Analysis(row[0], row[1], row[2], bool(row[3]))

    def add(
        self, analysis: Analysis, frames: Sequence[FrameFaces], identities: Sequence[Identity], state: bytes
    ) -> None:
        """Store what was seen in the next frames and the tracker's state after them, at once."""
        rows = [
            (analysis.id, frame.index, face.track, face.presence, face.size, _to_blob(face.points, "<f4"))
            for frame in frames
            for face in frame.faces
        ]
        with self._transaction():
            self._db.executemany(
                "INSERT INTO frame VALUES (?, ?, ?, ?)",
                [(analysis.id, frame.index, str(frame.time), frame.cut) for frame in frames],
            )
            self._db.executemany("INSERT INTO face VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.executemany(
                "INSERT INTO identity VALUES (?, ?, ?)",
                [(analysis.id, who.track, _to_blob(who.embedding, "<f8")) for who in identities],
            )
            self._db.execute(
                "UPDATE source SET next_frame = ?, state = ? WHERE id = ?", (frames[-1].index + 1, state, analysis.id)
            )

    def finish(self, analysis: Analysis) -> None:
        """Note that no frame of this video is left to look at."""
        with self._transaction():
            self._db.execute("UPDATE source SET finished = 1, state = NULL WHERE id = ?", (analysis.id,))

    def count(self, analysis: Analysis, start: int = 0) -> int:
        """How many frames there are from number `start`."""
        query = "SELECT COUNT(*) FROM frame WHERE source = ? AND frame >= ?"
        return int(self._db.execute(query, (analysis.id, start)).fetchone()[0])

    def frames(self, analysis: Analysis, start: int = 0) -> Iterator[FrameFaces]:
        """What was seen, frame by frame from number `start`, in order."""
        faces = self._db.execute(
            "SELECT frame, track, presence, points FROM face WHERE source = ? AND frame >= ? ORDER BY frame, size DESC",
            (analysis.id, start),
        )
        frames = self._db.execute(
            "SELECT frame, time, cut FROM frame WHERE source = ? AND frame >= ? ORDER BY frame", (analysis.id, start)
        )
        row = faces.fetchone()
        for index, time, cut in frames:
            here = []
            while row is not None and row[0] == index:
                here.append(Face(_to_points(row[3]), row[2], row[1]))
                row = faces.fetchone()
            yield FrameFaces(index, Fraction(time), bool(cut), tuple(here))

    def tracks(self, analysis: Analysis) -> list[Track]:
        """All faces that were followed, the one seen most and largest first."""
        seen = self._db.execute(
            "SELECT track, COUNT(*), AVG(size) FROM face WHERE source = ? GROUP BY track"
            " ORDER BY SUM(size) DESC, track",
            (analysis.id,),
        ).fetchall()
        who: dict[int, list[Embedding]] = {}
        for track, blob in self._db.execute(
            "SELECT track, embedding FROM identity WHERE source = ? ORDER BY rowid", (analysis.id,)
        ):
            who.setdefault(track, []).append(np.frombuffer(blob, "<f8"))
        return [Track(number, typical(np.array(who[number])), frames, size) for number, frames, size in seen]

    def _transaction(self) -> AbstractContextManager[None]:
        return transaction(self._db, f"the track file {self.path}")


def _open(path: Path) -> sqlite3.Connection:
    if path.is_file():
        try:
            database, version = open_database(path)
        except sqlite3.DatabaseError:
            version = -1  # not a database at all
        if version == _VERSION:
            return database
        if version >= 0:
            database.close()
    create_database(path, _SCHEMA, _VERSION)
    return open_database(path)[0]


def _to_blob(values: Float[np.ndarray, ...], kind: str) -> bytes:
    return values.astype(kind).tobytes()


def _to_points(blob: bytes) -> MeshPoints:
    return np.frombuffer(blob, "<f4").reshape(468, 3)
