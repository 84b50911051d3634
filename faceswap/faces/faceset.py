"""A faceset: one person's aligned faces on disk.

    PERSON/faces/*.jpg     crops that one can look through and delete by hand: a deleted file is an excluded face
    PERSON/faceset.db      SQLite: where each face comes from, how it was cut, and whether it is kept

Nothing is ever removed by the program: leaving a face out is a state with a reason, and every change of states can be
undone. Every change is one transaction and pictures are written before the rows that name them, so a killed process
leaves a faceset that is whole up to some frame, from where extraction goes on.

Sorting puts a number and a tilde before the names of the pictures; what follows the tilde says which face it is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any

from faceswap.database import (
    array_of,
    create_database,
    is_damage,
    lock,
    of_kind,
    open_database,
    reading,
    transaction,
)
from faceswap.documents import storable
from faceswap.errors import FaceError, MediaError, OutputError
from faceswap.faces.faceset_format import (
    INDICES,
    REPLACE_FACE,
    TABLES,
    VERSION,
    FaceRecord,
    Source,
    from_row,
    to_row,
    to_source,
    upgrade,
)
from faceswap.media.fingerprint import fingerprint
from faceswap.media.pictures import read_picture, write_picture
from faceswap.types import AlignedFace, Embedding, Picture

_SUPERSEDED = "found anew with other settings"


class Faceset(AbstractContextManager["Faceset"]):
    """An open faceset. Use `Faceset.create` to write (it opens an existing one to go on), `Faceset.open` to read."""

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._db = database
        self._listed: dict[str, str] | None = None
        with self._reading():
            [(crop_size,)] = self._rows("SELECT crop_size FROM about")
            self.crop_size: int | None = of_kind(int, crop_size) or None
        """Side of every crop in pixels; None: each is as large as its face in the footage."""

    @classmethod
    def create(cls, folder: Path, crop_size: int | None) -> Faceset:
        """Make the faceset at `folder` with crops of `crop_size` px, or as large as each face in the footage; or open
        the one that is there. None will then do for every size.

        Raises OutputError if the folder cannot be written or holds crops of another size.
        """
        path = folder / "faceset.db"
        try:
            (folder / "faces").mkdir(parents=True, exist_ok=True)
            if not path.exists():
                taken = OutputError(f"the faceset {folder} is being made by another program", "Wait for that to end")
                with closing(lock(folder / ".lock", taken)):
                    if not path.exists():
                        about = ("INSERT INTO about (crop_size) VALUES (?)", (crop_size or 0,))
                        create_database(path, TABLES + INDICES, VERSION, about)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(
                f"the faceset folder {folder} cannot be written ({error})", "Choose another folder with --out"
            ) from error

        faceset = cls.open(folder)
        if crop_size not in (None, faceset.crop_size):
            faceset.close()
            holds = f"of {faceset.crop_size} px" if faceset.crop_size else "as large as the footage has them"
            raise OutputError(
                f"the faceset {folder} holds crops {holds}, not of {crop_size} px",
                "Leave out --size, or name another folder",
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
            database, version = open_database(path)
            if version == 2:
                version = upgrade(database)
        except sqlite3.Error as error:
            if is_damage(error):
                raise _damaged(folder, str(error)) from error
            raise FaceError(
                f"the faceset database {path} cannot be opened ({error})",
                "Check that its folder may be written to, and that no other program has it open",
            ) from error

        if version != VERSION:
            database.close()
            raise FaceError(
                f"the faceset {folder} was made by another version of this program (format {version}, not {VERSION})",
                "Extract again into a new folder",
            )

        try:
            return cls(folder, database)
        except FaceError:
            database.close()
            raise

    def close(self) -> None:
        """Close the database; further use is an error."""
        self._db.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _transaction(self) -> AbstractContextManager[None]:
        return transaction(self._db, f"the faceset {self.folder}")

    def _reading(self) -> AbstractContextManager[None]:
        return reading(lambda why: _damaged(self.folder, why), f"the faceset {self.folder}")

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._reading():
            return self._db.execute(query, values).fetchall()

    def path(self, record: FaceRecord) -> Path:
        """Where the crop of `record` lies, or lay before somebody deleted it."""
        return self.folder / "faces" / self._names().get(record.file, record.file)

    def picture(self, record: FaceRecord) -> Picture:
        """The crop of `record`. Raises FaceError if it cannot be read."""
        try:
            return read_picture(self.path(record))
        except MediaError as error:
            raise FaceError(error.problem, "Delete this picture: its face is left out then") from error

    def _names(self) -> dict[str, str]:
        """What the pictures are called now, with the numbers that sorting gave them.

        Empty files, as a full disk or a broken copy leaves them, count as deleted.
        """
        if self._listed is None:
            present = []
            with suppress(FileNotFoundError), os.scandir(self.folder / "faces") as entries:
                present = [entry.name for entry in entries if entry.name.endswith(".jpg") and _size(entry)]
            self._listed = {name.rpartition("~")[2]: name for name in sorted(present)}
        return self._listed

    def source(self, path: Path, frames: tuple[int, int | None] = (0, None), extraction_key: str = "") -> Source:
        """The entry of this video or picture for this frame range, made if it is new.

        `extraction_key` says how its faces are found and judged, where that is not as by default.
        """
        content = fingerprint(path, frames)
        key = fingerprint(path, frames, extraction_key) if extraction_key else content

        with self._transaction():
            self._db.execute(
                "INSERT INTO source (path, fingerprint, next_frame, content) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (storable(path), key, frames[0], content),
            )

        with self._reading():
            [row] = self._rows("SELECT id, path, next_frame, finished FROM source WHERE fingerprint = ?", key)
            return to_source(row)

    @staticmethod
    def content_of(path: Path) -> str:
        """What a file is known by here, if all of its frames were asked for: for `rename_source`."""
        return fingerprint(path, (0, None))

    def rename_source(self, content: str, path: Path) -> None:
        """Know a file that is called `path` now by that name, so that its faces are not collected twice; `content` is
        its `content_of` from before."""
        with self._transaction():
            self._db.execute(
                "UPDATE OR IGNORE source SET path = ?, content = ?, fingerprint = CASE fingerprint WHEN content THEN ?"
                " ELSE fingerprint END WHERE content = ?",
                (str(path), self.content_of(path), self.content_of(path), content),
            )

    def sources(self) -> list[Source]:
        """Everything that faces were taken from, in the order in which it was begun."""
        with self._reading():
            return [
                to_source(row) for row in self._rows("SELECT id, path, next_frame, finished FROM source ORDER BY id")
            ]

    def add(self, source: Source, faces: Iterable[tuple[AlignedFace, FaceRecord]], next_frame: int) -> None:
        """Store crops and records, and note that all of `source` before `next_frame` is done, at once."""
        faces = list(faces)

        # Pictures first: a row always has its file.
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(lambda face: write_picture(self.path(face[1]), face[0].image, quality=95), faces):
                pass  # taking the results raises what went wrong
        self._names().update({record.file: self.path(record).name for _, record in faces})

        rows = [to_row(record) for _, record in faces]
        with self._transaction():
            self._db.executemany(REPLACE_FACE, rows)
            self._db.execute("UPDATE source SET next_frame = ? WHERE id = ?", (next_frame, source.id))

    def finish(self, source: Source) -> None:
        """Note that nothing of `source` is left to look at, and that this is the way in which its file was last wanted:
        its faces take the place of those that the same file gave in other ways, which `undo` takes back."""
        if self._rows(
            "SELECT 1 FROM source JOIN source AS own USING (content) WHERE own.id = ? AND source.id != own.id LIMIT 1",
            source.id,
        ):
            self._supersede(source)
        with self._transaction():
            self._db.execute("UPDATE source SET finished = 1 WHERE id = ?", (source.id,))

    def _supersede(self, source: Source) -> None:
        rows = self._rows(
            "SELECT file, face.source, reason FROM face JOIN source ON source.id = face.source"
            " JOIN source AS own USING (content) WHERE own.id = ? AND (reason IS NULL OR reason = ?)",
            source.id,
            _SUPERSEDED,
        )

        own = [file for file, whose, _ in rows if whose == source.id]
        others = [file for file, whose, reason in rows if whose != source.id and reason is None]
        if not own:  # nothing is there to take their place
            return

        if others:
            with self._transaction():  # so that taking the change back takes these away, too
                self._db.executemany("UPDATE face SET reason = ? WHERE file = ?", [(_SUPERSEDED, file) for file in own])

        states = dict.fromkeys(others, _SUPERSEDED) | dict.fromkeys(own)
        self.mark(storable(f"extract {source.path.name} with other settings"), states)

    def records(self, kept_only: bool = False) -> list[FaceRecord]:
        """All faces in the order of their sources and frames; those whose picture was deleted by hand left out."""
        self._listed = None
        present = self._names()
        with self._reading():
            rows = self._rows("SELECT * FROM face ORDER BY source, frame, file")
            records = [from_row(row) for row in rows if row[0] in present]
        return [record for record in records if record.kept or not kept_only]

    def named(self, files: Iterable[str]) -> list[FaceRecord]:
        """The faces of these files, as they are called now or were before sorting, with or without their folder.

        Raises FaceError for a file that is no face of this faceset.
        """
        known = {record.file: record for record in self.records()}
        names = [Path(file).name.rpartition("~")[2] for file in files]

        if unknown := [name for name in names if name not in known]:
            raise FaceError(
                f"the faceset {self.folder} has no face '{unknown[0]}'",
                f"See what is there: faceswap faces list {self.folder}",
            )

        return [known[name] for name in dict.fromkeys(names)]

    def last_kept(self, source: Source) -> FaceRecord | None:
        """The latest kept face of `source`."""
        latest = "SELECT * FROM face WHERE source = ? AND reason IS NULL ORDER BY frame DESC LIMIT 1"
        with self._reading():
            return next((from_row(row) for row in self._rows(latest, source.id)), None)

    @property
    def person(self) -> Embedding | None:
        """Whose faces these are, once that has been decided."""
        with self._reading():
            [(blob,)] = self._rows("SELECT person FROM about")
            return None if blob is None else array_of(blob, "<f8", 128)

    def set_person(self, person: Embedding) -> None:
        """Decide whose faces these are."""
        with self._transaction():
            self._db.execute("UPDATE about SET person = ?", (person.astype("<f8").tobytes(),))

    def set_embeddings(self, embeddings: Mapping[str, Embedding]) -> None:
        """Keep who faces are, by their files."""
        rows = [(embedding.astype("<f8").tobytes(), file) for file, embedding in embeddings.items()]
        with self._transaction():
            self._db.executemany("UPDATE face SET embedding = ? WHERE file = ?", rows)

    def set_clusters(self, clusters: Mapping[str, int]) -> None:
        """Keep the groups that faces were put into, by their files; all others belong to none."""
        with self._transaction():
            self._db.execute("UPDATE face SET cluster = NULL")
            self._db.executemany("UPDATE face SET cluster = ? WHERE file = ?", [(k, f) for f, k in clusters.items()])

    def mark(self, command: str, reasons: Mapping[str, str | None]) -> int:
        """Reject faces, by their files, for a reason, or keep them (None), as one change that `undo` takes back.

        `command` names the change to the user. Returns how many faces it changed; nothing to change is no change.
        """
        before = dict(self._rows("SELECT file, reason FROM face"))
        rows = [(file, before[file]) for file, reason in reasons.items() if before[file] != reason]

        if not rows:
            return 0

        with self._transaction():
            change = self._db.execute("INSERT INTO change (command) VALUES (?)", (command,)).lastrowid
            self._db.executemany("INSERT INTO changed VALUES (?, ?, ?)", [(change, *row) for row in rows])
            self._db.executemany("UPDATE face SET reason = ? WHERE file = ?", [(reasons[f], f) for f, _ in rows])
        return len(rows)

    def undo(self) -> tuple[str, int] | None:
        """Take back the latest change of states: its command and how many faces it had changed; None if none is left.

        Done again and again, this leads back to what extraction had decided.
        """
        changes = self._rows("SELECT id, command FROM change ORDER BY id DESC LIMIT 1")
        if not changes:
            return None

        [(change, command)] = changes
        rows = self._rows("SELECT before, file FROM changed WHERE change = ?", change)

        with self._transaction():
            self._db.executemany("UPDATE face SET reason = ? WHERE file = ?", rows)
            self._db.execute("DELETE FROM changed WHERE change = ?", (change,))
            self._db.execute("DELETE FROM change WHERE id = ?", (change,))
        return str(command), len(rows)

    def number(self, order: Sequence[FaceRecord]) -> None:
        """Number the pictures' files in this order, for looking through them in any program; those left out of
        `order` lose their numbers. Names only: a process killed in the middle leaves every face in its place."""
        digits = len(str(len(order)))
        wanted = {record.file: f"{place:0{digits}d}~{record.file}" for place, record in enumerate(order, 1)}

        for file, name in self._names().items():
            old, new = self.folder / "faces" / name, self.folder / "faces" / wanted.get(file, file)
            if old != new and not new.exists():  # where a face lies there twice, neither copy is written over
                with suppress(FileNotFoundError):  # deleted by hand just now
                    old.rename(new)

        self._listed = None


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # deleted by hand just now
        return 0


def _damaged(folder: Path, why: str) -> FaceError:
    return FaceError(
        f"the faceset database {folder / 'faceset.db'} cannot be read ({why})",
        "Put back a copy of it; or move the folder away and extract again",
    )
