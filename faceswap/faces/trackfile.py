"""A track file: all faces in all frames of some videos, kept so that nothing has to be looked at twice.

SQLite. Every change is one transaction; a killed analysis goes on where it was, and ends as if it had not been killed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from faceswap.database import (
    array_of,
    create_database,
    exact_time,
    is_damage,
    of_kind,
    open_database,
    open_unchanging,
    reading,
    transaction,
)
from faceswap.errors import OutputError
from faceswap.faces.identity import typical
from faceswap.faces.track import Identity
from faceswap.types import Embedding, Face, FrameFaces

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


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """How far the analysis of one video or picture has come."""

    id: int
    next_frame: int
    """The first frame not looked at yet."""
    state: bytes | None
    """Of the tracker that will go on there; None at the beginning."""
    finished: bool


@dataclass(frozen=True, kw_only=True)
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
    """An open track file, made if it is not there, and made anew if it is not one, damaged or of another version.

    Damage that shows only when a row is read removes the file: a DamagedTracksError says to run the same again.
    """

    def __init__(self, path: Path, *, unchanging: bool = False) -> None:
        """`unchanging`: it is there, whole since its `flush`, and only read, by several processes at a time.

        Raises OutputError if it can neither be read nor written.
        """
        self.path = path
        self._unchanging = unchanging
        try:
            self._db = open_unchanging(path)[0] if unchanging else _open(path)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(
                f"the track file {path} cannot be written ({error})", "Check the folder, or choose another with --out"
            ) from error

    def close(self) -> None:
        """Close the file; further use is an error."""
        self._db.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def delete(self) -> None:
        """Close the file and remove it: it can be made again from the videos."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def analysis(self, fingerprint: str, first_frame: int) -> Analysis:
        """The entry of the video with this fingerprint, made if it is new."""
        if not self._unchanging:
            with self._transaction():
                self._db.execute(
                    "INSERT INTO source (fingerprint, next_frame) VALUES (?, ?) ON CONFLICT DO NOTHING",
                    (fingerprint, first_frame),
                )

        with self.reading():
            [(number, next_frame, state, finished)] = self._db.execute(
                "SELECT id, next_frame, state, finished FROM source WHERE fingerprint = ?", (fingerprint,)
            )
            kept = None if state is None else of_kind(bytes, state)
            analysis = Analysis(
                id=of_kind(int, number), next_frame=of_kind(int, next_frame), state=kept, finished=bool(finished)
            )

            done = self.count(analysis)
            if next_frame - first_frame != done or (state is None) != (bool(finished) or not done):
                raise ValueError("its frames are not those that it speaks of")
            return analysis

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

    def flush(self) -> None:
        """Bring all that was stored into the file itself, for those who open it as `unchanging`. Raises OutputError."""
        with self._transaction():
            is_busy, *_ = self._db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if is_busy:
            raise OutputError(f"the track file {self.path} is being read by another program", "Wait for that to end")

    def count(self, analysis: Analysis, start: int = 0) -> int:
        """How many frames there are from number `start`."""
        query = "SELECT COUNT(*) FROM frame WHERE source = ? AND frame >= ?"
        with self.reading():
            return int(self._db.execute(query, (analysis.id, start)).fetchone()[0])

    def frames(self, analysis: Analysis, start: int = 0) -> Iterator[FrameFaces]:
        """What was seen, frame by frame from number `start`, in order."""
        with self.reading():
            faces = self._db.execute(
                "SELECT frame, track, presence, points FROM face"
                " WHERE source = ? AND frame >= ? ORDER BY frame, size DESC",
                (analysis.id, start),
            )
            frames = self._db.execute(
                "SELECT frame, time, cut FROM frame WHERE source = ? AND frame >= ? ORDER BY frame",
                (analysis.id, start),
            )

            row = faces.fetchone()
            for index, time, cut in frames:
                here = []
                while row is not None and row[0] == index:
                    here.append(Face(array_of(row[3], "<f4", 468, 3), of_kind(float, row[2]), of_kind(int, row[1])))
                    row = faces.fetchone()
                yield FrameFaces(index=of_kind(int, index), time=exact_time(time), cut=bool(cut), faces=tuple(here))

    def times(self, analysis: Analysis, start: int, stop: int) -> dict[int, Fraction]:
        """When the frames from number `start` up to but without `stop` are shown, in seconds, by number."""
        query = "SELECT frame, time FROM frame WHERE source = ? AND frame >= ? AND frame < ? ORDER BY frame"
        with self.reading():
            rows = self._db.execute(query, (analysis.id, start, stop)).fetchall()
            return {of_kind(int, index): exact_time(time) for index, time in rows}

    def tracks(self, analysis: Analysis) -> list[Track]:
        """All faces that were followed, the one seen most and largest first."""
        with self.reading():
            seen = self._db.execute(
                "SELECT track, COUNT(*), AVG(size) FROM face WHERE source = ? GROUP BY track"
                " ORDER BY SUM(size) DESC, track",
                (analysis.id,),
            ).fetchall()

            who: dict[int, list[Embedding]] = {}
            for track, blob in self._db.execute(
                "SELECT track, embedding FROM identity WHERE source = ? ORDER BY rowid", (analysis.id,)
            ):
                who.setdefault(track, []).append(array_of(blob, "<f8", 128))

            return [
                Track(
                    number=of_kind(int, number),
                    identity=typical(np.array(who[number])),
                    frames=frames,
                    size=of_kind(float, size),
                )
                for number, frames, size in seen
            ]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """For whatever is made of what is kept here: if it turns out to be damaged, the file is removed, to be made
        anew, and a DamagedTracksError says so."""
        try:
            with reading(_DamagedError, f"the track file {self.path}"):
                yield
        except _DamagedError as error:
            self.delete()
            raise DamagedTracksError(
                f"the track file {self.path} was damaged ({error.problem}) and is removed",
                "Run the same again: it is made anew",
            ) from error

    def _transaction(self) -> AbstractContextManager[None]:
        return transaction(self._db, f"the track file {self.path}")


class DamagedTracksError(OutputError):
    """A track file that was damaged, and is removed."""


class _DamagedError(OutputError):
    """The reason for which a track file has to be made anew."""

    def __init__(self, why: str) -> None:
        super().__init__(why, "Make it anew")


def _open(path: Path) -> sqlite3.Connection:
    if path.is_file():
        with ExitStack() as stack:
            try:
                database, version = open_database(path)
                stack.callback(database.close)
                if version == _VERSION and _has_schema(database):
                    stack.pop_all()
                    return database
            except sqlite3.Error as error:
                if not is_damage(error):  # another program has it, or the disk does not let us
                    raise

    create_database(path, _SCHEMA, _VERSION)
    return open_database(path)[0]


def _has_schema(database: sqlite3.Connection) -> bool:
    """Whether its tables are as this program makes them: damage to their names is none to the pages."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(_SCHEMA)
        return _tables(database) == _tables(fresh)


def _tables(database: sqlite3.Connection) -> list[Any]:
    return database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def _to_blob(values: Float[np.ndarray, ...], kind: str) -> bytes:
    return values.astype(kind).tobytes()
