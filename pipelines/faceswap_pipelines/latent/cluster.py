"""Cluster: groups of codes, what they have to do with persons, poses and expressions, and a sheet to judge them by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from faceswap.errors import ConfigError
from faceswap.latent.clusters import METHODS, Agreement, Labels, agreement, clustered
from faceswap.latent.disentanglement import binned
from faceswap.latent.faces import FACTORS
from faceswap.media.pictures import write_picture
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.curation.reject import RejectJob, reject_faces
from faceswap_pipelines.latent.faces import CodedFaces, LatentInputs, coded_faces

_COLUMNS = 14
_SIDE = 80  # pixels of a face on the sheet
_BINS = 3  # of a measure: low, middle and high, as many faces in each


@dataclass(frozen=True, kw_only=True)
class ClusterJob:
    """How to put faces into groups, and which of them to leave out."""

    inputs: LatentInputs
    method: str = "kmeans"
    """One of `faceswap.latent.clusters.METHODS`: whose groups are shown and rejected; all are compared."""
    groups: int = 8
    reject: tuple[int, ...] = ()
    """Groups whose members are rejected in their facesets, as one change of each, which can be taken back."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group of faces."""

    number: int
    """1 the largest."""
    faces: dict[str, int]
    """By person."""
    means: dict[str, float]
    """By measure, its mean in standard deviations from that of all faces."""

    @property
    def text(self) -> str:
        """For people: whose faces, and what they have in common."""
        whose = ", ".join(f"{count} of {name}" for name, count in self.faces.items() if count)
        strongest = sorted(self.means.items(), key=lambda mean: -abs(mean[1]))
        common = ", ".join(f"{name} {mean:+.1f}" for name, mean in strongest if abs(mean) >= 0.5)
        return f"group {self.number}: {whose}{'; ' * bool(common)}{common}"


@dataclass(frozen=True, kw_only=True)
class LatentClusters:
    """The groups, and what they have to do with what is known."""

    picture: str
    method: str
    groups: list[Group]
    agreements: dict[str, dict[str, Agreement]]
    """By method, then by what the groups are compared with: person, and each measure in three bins."""
    rejected: dict[str, int] = field(default_factory=dict)
    """By person, how many faces were rejected."""

    @property
    def text(self) -> str:
        """For people."""
        lines = [group.text for group in self.groups]
        names = list(next(iter(self.agreements.values())))

        lines.append("ARI / NMI with   " + "".join(f"{name:>14}" for name in names))
        for method, agreements in self.agreements.items():
            cells = "".join(f"{one.ari:>8.2f} /{one.nmi:5.2f}" for one in agreements.values())
            lines.append(f"{method:<17}{cells}")

        lines += [f"{count} faces of {name} are left out now" for name, count in self.rejected.items()]
        return "\n".join([*lines, f"Look at {self.picture}"])


def cluster_codes(job: ClusterJob, out: Path) -> Run[LatentClusters]:
    """Put the faces into groups by every method, compare those with what is known, and draw those of the job's method.

    Raises ConfigError for an unknown method, more groups than faces, or a group that there is not.
    """
    if job.method not in METHODS:
        raise ConfigError(f"there is no method '{job.method}'", f"Choose one of: {', '.join(METHODS)}")
    coded = yield from coded_faces(job.inputs)
    if not 2 <= job.groups <= len(coded.codes):
        raise ConfigError(f"{len(coded.codes)} faces cannot make {job.groups} groups", "Use --groups 2 or a few more")

    # By every method.
    labels: dict[str, Labels] = {}
    for method in METHODS:
        yield Progress(title="Grouping", done=len(labels), total=len(METHODS), unit="methods", note=method)
        with threadpool_limits(1):
            labels[method] = clustered(coded.codes, job.groups, method, job.seed)
    known = _classes(coded)
    agreements = {
        method: {name: agreement(found, classes) for name, classes in known.items()} for method, found in labels.items()
    }

    # A row for each group.
    chosen = labels[job.method]
    groups = [_group(coded, chosen, number) for number in range(1, int(chosen.max()) + 1)]
    rows = [(group.text, _shown(coded, chosen == group.number)) for group in groups]
    write_picture(out, sheet(rows, side=_SIDE))

    rejected = yield from _reject(job, coded, chosen, out)
    return LatentClusters(picture=str(out), method=job.method, groups=groups, agreements=agreements, rejected=rejected)


def _classes(coded: CodedFaces) -> dict[str, np.ndarray]:
    """What is known of the faces, as classes: whose they are, and each measure in bins."""
    bins = {name: binned(values, _BINS) for name, values in coded.factors.items()}
    return {"person": coded.persons, **bins}


def _group(coded: CodedFaces, labels: Labels, number: int) -> Group:
    inside = labels == number
    counts = {name: int((coded.persons[inside] == place).sum()) for place, name in enumerate(coded.names)}
    means = {}
    for name in FACTORS:
        values = coded.factors[name]
        means[name] = float((values[inside].mean() - values.mean()) / max(float(values.std()), 1e-9))
    return Group(number=number, faces=counts, means=means)


def _shown(coded: CodedFaces, inside: np.ndarray) -> list[np.ndarray]:
    """Some of a group's faces, evenly from all."""
    places = np.flatnonzero(inside)
    chosen = np.unique(np.linspace(0, len(places) - 1, min(_COLUMNS, len(places))).round().astype(int))
    return [coded.faces.pictures[place] for place in places[chosen]]


def _reject(job: ClusterJob, coded: CodedFaces, labels: Labels, out: Path) -> Run[dict[str, int]]:
    """Leave the members of the job's groups out of their facesets; how many, by person."""
    if unknown := [number for number in job.reject if not 1 <= number <= labels.max()]:
        raise ConfigError(f"there is no group {unknown[0]}", f"The groups have numbers from 1 to {labels.max()}")

    rejected: dict[str, int] = {}
    for person, name in enumerate(coded.names):
        members = np.flatnonzero(np.isin(labels, job.reject) & (coded.persons == person))
        if not len(members):
            continue

        files = tuple(coded.faces.files[place] for place in members)
        shown = out.with_name(f"{out.stem}.rejected_{name}.png")
        result = yield from reject_faces(RejectJob(faceset=job.inputs.facesets[name], files=files), shown)
        rejected[name] = sum(result.rejected.values())

    return rejected
