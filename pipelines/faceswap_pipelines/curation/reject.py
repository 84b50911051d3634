"""Reject: which faces of a faceset are not learnt from. Nothing is deleted, and every change can be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faceswap.errors import ConfigError, FaceError
from faceswap.faces import curate
from faceswap.faces.curate import CLOSER_THAN, OCCLUDED, Condition, column
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.identity import SAME_PERSON
from faceswap.faces.person import STRANGER
from faceswap.media.pictures import write_picture
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.progress import Run
from faceswap_pipelines.curation.curate import embeddings_of, person_of, thumbnails_of
from faceswap_pipelines.curation.faces import COLUMNS, SIDE, SheetRow, all_records, by_reason, measures_of, sheet_rows
from faceswap_pipelines.curation.occluded import occluded_shares

REPEATED, COVERED, SURPLUS, BY_HAND = "near-duplicate", "covered", "more than needed", "by hand"


@dataclass(frozen=True, kw_only=True)
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
    covered: float | None = None
    """More than this share of the face, 0..1, has something in front of it."""
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
        words += [] if self.covered is None else [f"--covered {self.covered:g}"]
        words += [] if self.group is None else [f"--group {self.group}"]
        words += ["--files"] if self.files else []
        words += [] if self.balance is None else [f"--balance {self.balance}"]
        return " ".join(["reject", *words])


@dataclass(frozen=True, kw_only=True)
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


def reject_faces(job: RejectJob, out: Path) -> Run[RejectResult]:
    """Leave kept faces out, as one change; or say what would be left out."""
    _check(job)
    with Faceset.open(job.faceset) as faceset:
        kept = [record for record in all_records(faceset) if record.kept]

        reasons = dict.fromkeys((record.file for record in faceset.named(job.files) if record.kept), BY_HAND)
        for rule in (_where, _group, _strangers, _repeated, _covered, _surplus):
            left = [record for record in kept if record.file not in reasons]
            reasons |= yield from rule(job, faceset, left)

        after = [replace(record, reason=reasons.get(record.file)) for record in kept]
        counts = {reason: len(group) for reason, group in by_reason(after).items()}
        left = [record for record in after if record.kept]

        write_picture(out, sheet(_before_and_after(faceset, after, job.dry_run), side=SIDE))
        if not job.dry_run:
            faceset.mark(job.command, reasons)

    return RejectResult(kept=len(left), rejected=counts, sheet=str(out), dry_run=job.dry_run)


def _check(job: RejectJob) -> None:
    """Refuse what cannot be meant."""
    numbers = (job.group, job.balance, job.covered)
    if not (job.where or job.strangers or job.duplicates or job.files) and all(number is None for number in numbers):
        raise ConfigError(
            "it is not said which faces to reject",
            "Use --where, --strangers, --duplicates, --covered, --balance, --group or --files; more with --help",
        )

    if job.person is not None and not job.strangers:
        raise ConfigError("--person says who is no stranger", "Use it together with --strangers")
    if job.balance is not None and job.balance < 1:
        raise ConfigError(f"--balance {job.balance} would keep no face", "Say how many faces to keep")
    if job.covered is not None and not 0 <= job.covered < 1:
        raise ConfigError(f"--covered {job.covered:g} is no share", "Use a number from 0 up and below 1, such as 0.1")
    if job.closer_than <= 0:
        raise ConfigError("--closer-than must be above zero", f"The default is {CLOSER_THAN:g}")

    for text in job.where:
        Condition.parse(text)


Reasons = dict[str, str]
"""Why files are rejected."""


def _where(job: RejectJob, faceset: Faceset, kept: Sequence[FaceRecord]) -> Run[Reasons]:
    if not job.where:
        return {}
    conditions = [Condition.parse(text) for text in job.where]

    # What is known of faces, and what has to be looked for.
    values = {condition.key: column(measures_of(kept), condition.key) for condition in conditions if condition.known}
    if any(condition.key == OCCLUDED for condition in conditions):
        values[OCCLUDED] = yield from occluded_shares(faceset, kept, job.device)

    meets = np.all([condition.holds(values[condition.key]) for condition in conditions], axis=0)
    return _chosen(kept, meets, " and ".join(map(str, conditions)))


def _group(job: RejectJob, faceset: Faceset, kept: Sequence[FaceRecord]) -> Run[Reasons]:
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


def _strangers(job: RejectJob, faceset: Faceset, kept: Sequence[FaceRecord]) -> Run[Reasons]:
    if not job.strangers or not kept:
        return {}

    embeddings = yield from embeddings_of(faceset, kept, job.device)
    if job.person is None:
        person = person_of(faceset, kept, embeddings)
    else:
        person = FaceFinder(pick_device(job.device)).person_in(job.person)

    return _chosen(kept, curate.away_from(person, embeddings) > SAME_PERSON, STRANGER)


def _repeated(job: RejectJob, faceset: Faceset, kept: Sequence[FaceRecord]) -> Run[Reasons]:
    if not job.duplicates:
        return {}
    thumbnails = yield from thumbnails_of(faceset, kept)
    return _chosen(kept, curate.near_duplicates(measures_of(kept), thumbnails, job.closer_than), REPEATED)


def _covered(job: RejectJob, faceset: Faceset, kept: Sequence[FaceRecord]) -> Run[Reasons]:
    """Faces behind hands, cups and the like."""
    if job.covered is None:
        return {}
    shares = yield from occluded_shares(faceset, kept, job.device)
    return _chosen(kept, shares > job.covered, COVERED)


def _surplus(job: RejectJob, _faceset: Faceset, kept: Sequence[FaceRecord]) -> Run[Reasons]:
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
