"""Cleaning a faceset: sort, cluster, reject, restore. Nothing is deleted, and every change can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faceswap.errors import ConfigError, FaceError
from faceswap.faces import curate
from faceswap.faces.curate import CLOSER_THAN, KEYS, Condition, Thumbnails, column
from faceswap.faces.faceset import FaceRecord, Faceset
from faceswap.faces.identity import SAME_PERSON, Embedding, Embeddings, Identifier
from faceswap.faces.landmarks import five_points
from faceswap.media.pictures import read_picture, write_picture
from faceswap.quality.sheets import sheet
from faceswap_pipelines.faces import (
    COLUMNS,
    SIDE,
    SheetRow,
    all_records,
    by_reason,
    measures_of,
    sheet_rows,
)
from faceswap_pipelines.job import Job, Progress, pick_device
from faceswap_pipelines.stages import batched

ORDERS = ("time", *KEYS, "identity", "similarity")
"""What `sort` sorts by."""
STRANGER, REPEATED, SURPLUS, BY_HAND = "somebody else", "near-duplicate", "more than needed", "by hand"

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


@dataclass(frozen=True)
class RejectJob:
    """Which of the kept faces to leave out. A face for which several of these hold is rejected for the first one."""

    faceset: Path
    where: tuple[str, ...] = ()
    """Conditions, as `Condition.parse` reads them, that hold all at once."""
    strangers: bool = False
    person: Path | None = None
    """A picture of the person who is no stranger; None: as the faceset knows, else whoever is seen most."""
    duplicates: bool = False
    closer_than: float = CLOSER_THAN
    group: int | None = None
    files: tuple[str, ...] = ()
    balance: int | None = None
    """How many faces to keep of those that the rest leaves, see `curate.balanced`."""
    dry_run: bool = False
    device: str = "auto"

    @property
    def command(self) -> str:
        """What the user will know it by."""
        words = [f"--where '{text}'" for text in self.where]
        words += ["--strangers"] * self.strangers + ["--duplicates"] * self.duplicates
        words += [] if self.group is None else [f"--group {self.group}"]
        words += ["--files"] if self.files else []
        words += [] if self.balance is None else [f"--balance {self.balance}"]
        return " ".join(["reject", *words])


@dataclass(frozen=True)
class RejectResult:
    """What was, or would be, rejected."""

    kept: int
    """Left afterwards."""
    rejected: dict[str, int]
    """By this command, by reason."""
    sheet: str
    """Shows the faces that it rejects and those that it leaves."""
    dry_run: bool

    @property
    def text(self) -> str:
        """For people."""
        counts = ", ".join(f"{count} {reason}" for reason, count in self.rejected.items()) or "none"
        if self.dry_run:
            return f"Would reject: {counts}; {self.kept} faces would be left. Nothing was changed; look at {self.sheet}"
        return f"Rejected: {counts}; {self.kept} faces are left. Look at {self.sheet}"


@dataclass(frozen=True)
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


def sort_faces(folder: Path, by: str, reverse: bool, out: Path, device: str = "auto") -> Job[SortResult]:
    """Number the files so that any program shows them in this order, rejected ones last; write a sheet of it.

    `by`: a measure; "identity", how far a face is from its person's; "similarity", a chain of look-alikes
    (`curate.chain`: colours of thumbnails); "time" takes the numbers away again.
    """
    if by not in ORDERS:
        raise ConfigError(f"faces cannot be sorted by '{by}'", f"Use one of {', '.join(ORDERS)}")
    with Faceset.open(folder) as faceset:
        records = all_records(faceset)
        kept = [record for record in records if record.kept]
        values, order = None, np.arange(len(kept))
        if by == "identity" and kept:
            embeddings = yield from _embeddings(faceset, kept, device)
            values = curate.away_from(_person(faceset, kept, embeddings), embeddings)
        elif by == "similarity":
            order = curate.chain((yield from _thumbnails(faceset, kept)))
        elif by in KEYS:
            values = column(measures_of(kept), by)
        if values is not None:
            order = np.argsort(values, kind="stable")
        ordered = [kept[i] for i in (order[::-1] if reverse else order)]
        rejected = [record for group in by_reason(records).values() for record in group]
        faceset.number([] if by == "time" and not reverse else [*ordered, *rejected])
        captions = None if values is None else [f"{value:.3g}" for value in np.sort(values)[:: -1 if reverse else 1]]
        rows = sheet_rows(faceset, f"{len(kept)} kept, by {by}{', reversed' * reverse}", ordered, 96, captions)
    write_picture(out, sheet(rows, side=SIDE))
    return SortResult(str(out), by, len(kept))


def cluster_faces(folder: Path, count: int | None, out: Path, device: str = "auto") -> Job[ClusterResult]:
    """Part the kept faces into groups of one person each, or into `count` groups; number the files by group."""
    with Faceset.open(folder) as faceset:
        records = all_records(faceset)
        kept = [record for record in records if record.kept]
        if not kept:
            raise FaceError(f"the faceset {folder} keeps no face", f"Take some back: faceswap faces restore {folder}")
        if count is not None and count > len(kept):
            raise ConfigError(f"{len(kept)} faces cannot make {count} groups", f"Use --groups {len(kept)} or less")
        labels = curate.groups((yield from _embeddings(faceset, kept, device)), count)
        faceset.set_clusters(dict(zip((record.file for record in kept), labels.tolist(), strict=True)))
        groups = [
            [record for record, label in zip(kept, labels, strict=True) if label == number]
            for number in range(1, int(labels.max()) + 1)
        ]
        rejected = [record for group in by_reason(records).values() for record in group]
        faceset.number([*(record for group in groups for record in group), *rejected])
        rows: list[SheetRow] = []
        for number, group in enumerate(groups[:_ROWS], 1):
            rows += sheet_rows(faceset, f"group {number}: {len(group)} faces", group, COLUMNS)
        if rest := [record for group in groups[_ROWS:] for record in group]:
            title = f"groups {_ROWS + 1} to {len(groups)}: {len(rest)} faces"
            rows += sheet_rows(faceset, title, rest, 4 * COLUMNS)
    write_picture(out, sheet(rows, side=SIDE))
    return ClusterResult(str(out), [len(group) for group in groups])


def reject_faces(job: RejectJob, out: Path) -> Job[RejectResult]:
    """Leave kept faces out, as one change; or say what would be left out."""
    _check(job)
    with Faceset.open(job.faceset) as faceset:
        kept = [record for record in all_records(faceset) if record.kept]
        reasons = dict.fromkeys((record.file for record in faceset.named(job.files) if record.kept), BY_HAND)
        for rule in (_where, _group, _strangers, _repeated, _surplus):
            left = [record for record in kept if record.file not in reasons]
            reasons |= yield from rule(job, faceset, left)
        after = [replace(record, reason=reasons.get(record.file)) for record in kept]
        counts = {reason: len(group) for reason, group in by_reason(after).items()}
        left = [record for record in after if record.kept]
        write_picture(out, sheet(_before_and_after(faceset, after, job.dry_run), side=SIDE))
        if not job.dry_run:
            faceset.mark(job.command, reasons)
    return RejectResult(len(left), counts, str(out), job.dry_run)


def _check(job: RejectJob) -> None:
    """Refuse what cannot be meant."""
    if not (job.where or job.strangers or job.duplicates or job.files) and job.group is None and job.balance is None:
        raise ConfigError(
            "it is not said which faces to reject",
            "Use --where, --strangers, --duplicates, --balance, --group or --files; more with --help",
        )
    if job.person is not None and not job.strangers:
        raise ConfigError("--person says who is no stranger", "Use it together with --strangers")
    if job.balance is not None and job.balance < 1:
        raise ConfigError(f"--balance {job.balance} would keep no face", "Say how many faces to keep")
    if job.closer_than <= 0:
        raise ConfigError("--closer-than must be above zero", f"The default is {CLOSER_THAN:g}")
    for text in job.where:
        Condition.parse(text)


Reasons = dict[str, str]
"""Why files are rejected."""


def _where(job: RejectJob, _faceset: Faceset, kept: Sequence[FaceRecord]) -> Job[Reasons]:
    yield from ()
    if not job.where:
        return {}
    conditions = [Condition.parse(text) for text in job.where]
    meets = np.all([condition.meets(measures_of(kept)) for condition in conditions], axis=0)
    return _chosen(kept, meets, " and ".join(map(str, conditions)))


def _group(job: RejectJob, faceset: Faceset, kept: Sequence[FaceRecord]) -> Job[Reasons]:
    yield from ()
    if job.group is None:
        return {}
    known = {record.cluster for record in faceset.records() if record.cluster is not None}
    if not known:
        raise FaceError(
            f"the faceset {faceset.folder} has no groups yet", f"Make them: faceswap faces cluster {faceset.folder}"
        )
    if job.group not in known:
        raise FaceError(f"there is no group {job.group}", f"The groups have numbers from 1 to {max(known)}")
    return {record.file: f"group {job.group}" for record in kept if record.cluster == job.group}


def _strangers(job: RejectJob, faceset: Faceset, kept: Sequence[FaceRecord]) -> Job[Reasons]:
    if not job.strangers or not kept:
        return {}
    embeddings = yield from _embeddings(faceset, kept, job.device)
    person = _person(faceset, kept, embeddings) if job.person is None else _person_in(job.person, job.device)
    return _chosen(kept, curate.away_from(person, embeddings) > SAME_PERSON, STRANGER)


def _repeated(job: RejectJob, faceset: Faceset, kept: Sequence[FaceRecord]) -> Job[Reasons]:
    if not job.duplicates:
        return {}
    thumbnails = yield from _thumbnails(faceset, kept)
    return _chosen(kept, curate.near_duplicates(measures_of(kept), thumbnails, job.closer_than), REPEATED)


def _surplus(job: RejectJob, _faceset: Faceset, kept: Sequence[FaceRecord]) -> Job[Reasons]:
    yield from ()
    if job.balance is None:
        return {}
    surplus = np.ones(len(kept), bool)
    surplus[curate.balanced(measures_of(kept), job.balance)] = False
    return _chosen(kept, surplus, SURPLUS)


def _chosen(records: Sequence[FaceRecord], chosen: curate.Chosen, reason: str) -> Reasons:
    return {record.file: reason for record, hit in zip(records, chosen, strict=True) if hit}


def _before_and_after(faceset: Faceset, records: Sequence[FaceRecord], dry_run: bool) -> list[SheetRow]:
    rows: list[SheetRow] = []
    for reason, group in by_reason(records).items():
        title = f"{len(group)} {'would be rejected' if dry_run else 'rejected'}: {reason}"
        rows += sheet_rows(faceset, title, group, 6 * COLUMNS)
    left = [record for record in records if record.kept]
    return [*rows, *sheet_rows(faceset, f"{len(left)} kept", left, 4 * COLUMNS)]


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
        return RestoreResult(command, undone_it, changed, len(faceset.records(kept_only=True)))


def _rejected_for(reason: str, records: Sequence[FaceRecord], folder: Path) -> list[FaceRecord]:
    known = by_reason(records)
    if reason not in known:
        listed = ", ".join(f"'{text}'" for text in known) or "none"
        raise FaceError(f"no face of {folder} is rejected for '{reason}'", f"The reasons there are: {listed}")
    return known[reason]


def _embeddings(faceset: Faceset, records: Sequence[FaceRecord], device: str) -> Job[Embeddings]:
    """Who each face is; what was not known is kept for the next time."""
    known = {record.file: record.embedding for record in records if record.embedding is not None}
    missing = [record for record in records if record.file not in known]
    if missing:
        identifier = Identifier(pick_device(device))
        for some in batched(missing, _AT_ONCE):
            yield Progress("Recognising faces", len(known), len(records), "faces")
            faces = [(read_picture(faceset.path(r)), five_points(r.face.points_after(r.to_crop))) for r in some]
            found = dict(zip((record.file for record in some), identifier.embed(faces), strict=True))
            faceset.set_embeddings(found)
            known |= found
    return np.array([known[record.file] for record in records]).reshape(len(records), -1)


def _thumbnails(faceset: Faceset, records: Sequence[FaceRecord]) -> Job[Thumbnails]:
    thumbnails = np.empty((len(records), curate.THUMBNAIL, curate.THUMBNAIL, 3))
    for i, record in enumerate(records):
        if i % _AT_ONCE == 0:
            yield Progress("Comparing faces", i, len(records), "faces")
        thumbnails[i] = curate.thumbnail(read_picture(faceset.path(record)))
    return thumbnails


def _person(faceset: Faceset, kept: Sequence[FaceRecord], embeddings: Embeddings) -> Embedding:
    """Whose faces these are: as extraction decided, else whoever is seen most."""
    if faceset.person is not None:
        return faceset.person
    return curate.main_person(embeddings, np.array([record.face.presence for record in kept]))


def _person_in(picture: Path, device: str) -> Embedding:
    from faceswap_pipelines.analyse import FaceFinder

    finder, image = FaceFinder(pick_device(device)), read_picture(picture)
    faces = finder.find(image)
    if not faces:
        raise FaceError(f"no face was found in {picture}", "Use a picture that shows the person's face")
    return finder.identify(image, faces[0])
