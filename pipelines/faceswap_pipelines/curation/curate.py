"""Cleaning a faceset: sort it, part it into groups, and take back what was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceswap.errors import ConfigError, FaceError
from faceswap.faces import curate
from faceswap.faces.curate import KEYS, Thumbnails, column
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.identity import Identifier
from faceswap.faces.landmarks import five_points
from faceswap.media.pictures import write_picture
from faceswap.streams import batched
from faceswap.types import EMBEDDING, Embedding, Embeddings
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.curation.faces import (
    COLUMNS,
    DECIMALS,
    SIDE,
    SheetRow,
    all_records,
    by_reason,
    measures_of,
    sheet_rows,
)

ORDERS = ("time", *KEYS, "identity", "similarity")
"""What `sort` sorts by."""

_AT_ONCE = 64  # faces: what a killed command has to look at again
_ROWS = 24  # groups on a sheet that get a row of their own


@dataclass(frozen=True)
class SortResult:
    """The faces are numbered in this order."""

    sheet: str
    by: str
    kept: int


@dataclass(frozen=True)
class ClusterResult:
    """The groups that were found."""

    sheet: str
    groups: list[int]
    """How many faces each has, the largest first; the first is group 1."""

    @property
    def text(self) -> str:
        """For people."""
        shown = [f"group {number}: {count} faces" for number, count in enumerate(self.groups[:_ROWS], 1)]
        if rest := self.groups[_ROWS:]:
            shown.append(f"groups {_ROWS + 1} to {len(self.groups)}: {sum(rest)} faces")
        return "\n".join([*shown, f"Look at {self.sheet}"])


@dataclass(frozen=True, kw_only=True)
class RestoreResult:
    """What was taken back."""

    command: str
    """The one that was taken back, or this one."""
    undone: bool
    """Whether a command was taken back."""
    changed: int
    """Faces whose state is another now."""
    kept: int
    """Afterwards."""


def sort_faces(folder: Path, by: str, reverse: bool, out: Path, device: str = "auto") -> Run[SortResult]:
    """Number the files so that any program shows them in this order, rejected ones last; write a sheet of it.

    `by`: a measure; "identity", how far a face is from its person's; "similarity", a chain of look-alikes
    (`curate.chain`: colours of thumbnails); "time" takes the numbers away again.
    """
    if by not in ORDERS:
        raise ConfigError(f"faces cannot be sorted by '{by}'", f"Use one of {', '.join(ORDERS)}")

    with Faceset.open(folder) as faceset:
        records = all_records(faceset)
        kept = [record for record in records if record.kept]

        # What they are sorted by.
        values, order = None, np.arange(len(kept))
        if by == "identity" and kept:
            embeddings = yield from embeddings_of(faceset, kept, device)
            values = curate.away_from(person_of(faceset, kept, embeddings), embeddings)
        elif by == "similarity":
            order = curate.chain((yield from thumbnails_of(faceset, kept)))
        elif by in KEYS:
            values = column(measures_of(kept), by)

        if values is not None:
            order = np.argsort(values, kind="stable")
        order = order[::-1] if reverse else order
        ordered = [kept[i] for i in order]

        # Their files' numbers, and a sheet.
        rejected = [record for group in by_reason(records).values() for record in group]
        faceset.number([] if by == "time" and not reverse else [*ordered, *rejected])
        captions = None if values is None else [f"{values[i]:.{DECIMALS.get(by, 2)}f}" for i in order]

        rows = sheet_rows(faceset, f"{len(kept)} kept, by {by}{', reversed' * reverse}", ordered, 96, captions)
    write_picture(out, sheet(rows, side=SIDE))
    return SortResult(str(out), by, len(kept))


def cluster_faces(folder: Path, count: int | None, out: Path, device: str = "auto") -> Run[ClusterResult]:
    """Part the kept faces into groups of one person each, or into `count` groups; number the files by group."""
    with Faceset.open(folder) as faceset:
        records = all_records(faceset)
        kept = [record for record in records if record.kept]
        if not kept:
            raise FaceError(f"the faceset {folder} keeps no face", f"Take some back: faceswap faces restore {folder}")

        if count is not None and count > len(kept):
            raise ConfigError(f"{len(kept)} faces cannot make {count} groups", f"Use --groups {len(kept)} or less")

        labels = curate.groups((yield from embeddings_of(faceset, kept, device)), count)
        faceset.set_clusters(dict(zip((record.file for record in kept), labels.tolist(), strict=True)))
        groups = [
            [record for record, label in zip(kept, labels, strict=True) if label == number]
            for number in range(1, int(labels.max()) + 1)
        ]
        rejected = [record for group in by_reason(records).values() for record in group]

        faceset.number([*(record for group in groups for record in group), *rejected])

        # A row of the sheet for each of the largest groups.
        rows: list[SheetRow] = []
        for number, group in enumerate(groups[:_ROWS], 1):
            rows += sheet_rows(faceset, f"group {number}: {len(group)} faces", group, COLUMNS)
        if rest := [record for group in groups[_ROWS:] for record in group]:
            title = f"groups {_ROWS + 1} to {len(groups)}: {len(rest)} faces"
            rows += sheet_rows(faceset, title, rest, 4 * COLUMNS)

    write_picture(out, sheet(rows, side=SIDE))
    return ClusterResult(str(out), [len(group) for group in groups])


def restore_faces(
    folder: Path, last: bool = False, every: bool = False, reason: str | None = None, files: Sequence[str] = ()
) -> RestoreResult:
    """Take back the last command (the default); or keep faces again: all, those rejected for `reason`, or these files.

    The others are changes themselves, which can be taken back.
    """
    if last + every + (reason is not None) + bool(files) > 1:
        raise ConfigError("--last, --all, --reason and --files say different things", "Use one of them")

    with Faceset.open(folder) as faceset:
        records = all_records(faceset)

        if every or reason is not None or files:
            wanted = records if every else faceset.named(files)
            if reason is not None:
                wanted = _rejected_for(reason, records, folder)
            words = "--all" if every else "--files" if files else f"--reason '{reason}'"
            command = f"restore {words}"
            changed = faceset.mark(command, {record.file: None for record in wanted})

        else:
            undone = faceset.undo()
            if undone is None:
                raise FaceError(
                    "there is no command left to take back", "To keep faces that extraction rejected use --all"
                )
            command, changed = undone

        undone_it = not (every or reason is not None or files)
        return RestoreResult(
            command=command, undone=undone_it, changed=changed, kept=len(faceset.records(kept_only=True))
        )


def _rejected_for(reason: str, records: Sequence[FaceRecord], folder: Path) -> list[FaceRecord]:
    known = by_reason(records)
    if reason not in known:
        listed = ", ".join(f"'{text}'" for text in known) or "none"
        raise FaceError(f"no face of {folder} is rejected for '{reason}'", f"The reasons there are: {listed}")
    return known[reason]


def embeddings_of(faceset: Faceset, records: Sequence[FaceRecord], device: str) -> Run[Embeddings]:
    """Who each face is; what was not known is kept for the next time."""
    known = {record.file: record.embedding for record in records if record.embedding is not None}
    missing = [record for record in records if record.file not in known]

    if missing:
        identifier = Identifier(pick_device(device))
        for some in batched(missing, _AT_ONCE):
            yield Progress(title="Recognising faces", done=len(known), total=len(records), unit="faces")
            faces = [(faceset.picture(r), five_points(r.face.points_after(r.to_crop))) for r in some]
            found = dict(zip((record.file for record in some), identifier.embed(faces), strict=True))
            faceset.set_embeddings(found)
            known |= found

    return np.array([known[record.file] for record in records]).reshape(len(records), EMBEDDING)


def thumbnails_of(faceset: Faceset, records: Sequence[FaceRecord]) -> Run[Thumbnails]:
    thumbnails = np.empty((len(records), curate.THUMBNAIL, curate.THUMBNAIL, 3))
    for i, record in enumerate(records):
        if i % _AT_ONCE == 0:
            yield Progress(title="Comparing faces", done=i, total=len(records), unit="faces")
        thumbnails[i] = curate.thumbnail(faceset.picture(record))
    return thumbnails


def person_of(faceset: Faceset, kept: Sequence[FaceRecord], embeddings: Embeddings) -> Embedding:
    """Whose faces these are: as extraction decided, else whoever is seen most."""
    if faceset.person is not None:
        return faceset.person
    return curate.dominant_identity(embeddings, np.array([record.face.presence for record in kept]))
