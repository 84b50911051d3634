"""Probe: from how few labels something can be told from codes, beside the same from pixels."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from faceswap.errors import ConfigError, MediaError
from faceswap.faces.curate import KEYS
from faceswap.latent.codes import Codes
from faceswap.latent.probes import (
    Split,
    Target,
    fine_tuned_score,
    label_counts,
    labelled,
    representations,
    score,
    split_by_time,
)
from faceswap.media.pictures import write_picture
from faceswap.visuals.plots import Spread, spread_curves
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.latent.faces import FEWEST, CodedFaces, LatentInputs, coded_faces

PERSON = "person"
"""The target that asks whose a face is."""
FINE_TUNED = "codes, encoder fine-tuned"

_CLASSES = 12  # so many different numbers are still names of classes; more are a quantity


@dataclass(frozen=True, kw_only=True)
class ProbeJob:
    """What to tell from a face, and how often to try."""

    inputs: LatentInputs
    target: str = "yaw"
    """A measure of faces, or PERSON."""
    labels: Path | None = None
    """A table with the columns file and label, or a folder with a folder of faces for each label; takes the target's
    place."""
    seeds: int = 5
    """How often labelled faces are drawn anew."""
    fine_tune: bool = False
    """Let the encoder learn from the labels, too, as one more curve."""


@dataclass(frozen=True, kw_only=True)
class ProbeCurve:
    """Scores by number of labels."""

    labels: list[int]
    mean: list[float]
    deviation: list[float]
    """Over the draws of labelled faces."""


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What can be told, from what, by how many labels."""

    picture: str
    target: str
    score: str
    """See `faceswap.latent.probes.Target`."""
    learnt_from: int
    """Faces that labels were drawn from."""
    held_out: int
    curves: dict[str, ProbeCurve]
    """By what the probe looks at."""

    @property
    def text(self) -> str:
        """For people."""
        counts = next(iter(self.curves.values())).labels
        lines = [f"{self.target}, {self.score} on {self.held_out} faces held out, by number of labels"]
        lines.append(f"{'':28}" + "".join(f"{count:>8}" for count in counts))
        for name, curve in self.curves.items():
            lines.append(f"{name:28}" + "".join(f"{value:8.2f}" for value in curve.mean))
        return "\n".join([*lines, f"Look at {self.picture}"])


def probe(job: ProbeJob, out: Path) -> Run[ProbeResult]:
    """Train linear probes from 5, 10, 20... labelled faces, several times each, and judge them on faces held out.

    Raises ConfigError for an unknown target, or too few faces to hold some out; MediaError for an unreadable table.
    """
    if job.seeds < 1:
        raise ConfigError("nothing is to be tried", "Use --seeds 1 or more")
    coded = yield from coded_faces(job.inputs)
    target, chosen = _target(job, coded)
    split = _split(coded, chosen)

    # What probes look at.
    yield Progress(title="Probing", done=0, total=None, unit="", note="encoding with an untrained network")
    looked_at = representations(coded.model, coded.faces.pictures, split)
    counts = label_counts(len(split.train))

    # A curve for each.
    curves: dict[str, ProbeCurve] = {}
    for name, features in looked_at.items():
        yield Progress(title="Probing", done=len(curves), total=len(looked_at), unit="curves", note=name)
        with threadpool_limits(1):
            curves[name] = _curve(job, features, target, split, counts)
    if job.fine_tune:
        curves[FINE_TUNED] = yield from _fine_tuned(job, coded, target, split, counts)

    lines = [
        Spread(
            name=name,
            x=np.array(curve.labels, float),
            middle=np.array(curve.mean),
            spread=np.array(curve.deviation),
        )
        for name, curve in curves.items()
    ]
    title = f"{target.name}: told by a linear probe, on {len(split.held_out)} faces held out in blocks of time"
    write_picture(out, spread_curves(lines, title, "labelled faces", target.score))
    return ProbeResult(
        picture=str(out),
        target=target.name,
        score=target.score,
        learnt_from=len(split.train),
        held_out=len(split.held_out),
        curves=curves,
    )


def _curve(job: ProbeJob, features: Codes, target: Target, split: Split, counts: Sequence[int]) -> ProbeCurve:
    """Scores of a linear probe on these features."""
    scores = np.array(
        [
            [score(features, target, labelled(target, split, count, seed), split) for seed in range(job.seeds)]
            for count in counts
        ]
    )
    return _summary(counts, scores)


def _fine_tuned(
    job: ProbeJob, coded: CodedFaces, target: Target, split: Split, counts: Sequence[int]
) -> Run[ProbeCurve]:
    """Scores where the encoder learns, too."""
    scores = np.zeros((len(counts), job.seeds))
    for place, count in enumerate(counts):
        for seed in range(job.seeds):
            done = place * job.seeds + seed
            yield Progress(title="Fine-tuning", done=done, total=scores.size, unit="trials", note=f"{count} labels")
            scores[place, seed] = fine_tuned_score(
                model=coded.model,
                pictures=coded.faces.pictures,
                target=target,
                chosen=labelled(target, split, count, seed),
                held_out=split.held_out,
                seed=seed,
            )

    return _summary(counts, scores)


def _summary(counts: Sequence[int], scores: np.ndarray) -> ProbeCurve:
    return ProbeCurve(labels=list(counts), mean=scores.mean(axis=1).tolist(), deviation=scores.std(axis=1).tolist())


def _target(job: ProbeJob, coded: CodedFaces) -> tuple[Target, np.ndarray]:
    """What is to be told, and of which faces it is known."""
    everybody = np.arange(len(coded.codes))
    if job.labels is not None:
        return _from_table(job.labels, coded)

    if job.target == PERSON:
        if len(coded.names) < 2:
            raise ConfigError("one person alone cannot be told from others", "Add facesets of more persons")
        return Target(name=PERSON, values=coded.persons.astype(float), classes=coded.names), everybody

    if job.target not in KEYS:
        raise ConfigError(
            f"'{job.target}' is nothing that is known of faces", f"Use {PERSON} or one of: {', '.join(KEYS)}"
        )

    return Target(name=job.target, values=coded.faces.measures[job.target]), everybody


def _from_table(path: Path, coded: CodedFaces) -> tuple[Target, np.ndarray]:
    """Labels from a table: names of classes, or numbers, if there are many different ones."""
    texts = _read_labels(path)
    known = [Path(file).name.rpartition("~")[2] for file in coded.faces.files]
    chosen = np.array([place for place, file in enumerate(known) if file in texts], int)
    if len(chosen) < FEWEST:
        raise ConfigError(f"{path} labels {len(chosen)} of the faces looked at", f"Label at least {FEWEST} of them")

    words = [texts[known[place]] for place in chosen]
    values = np.zeros(len(known))
    numbers = _as_numbers(words)
    if numbers is not None and len(set(numbers)) > _CLASSES:
        values[chosen] = numbers
        return Target(name=path.stem, values=values), chosen

    classes = sorted(set(words))
    if len(classes) < 2:
        raise ConfigError(f"{path} gives all faces the same label", "Use two different ones at least")
    values[chosen] = [classes.index(word) for word in words]
    return Target(name=path.stem, values=values, classes=tuple(classes)), chosen


def _read_labels(path: Path) -> dict[str, str]:
    """Labels by file: of a table, or of folders called as the faces in them are labelled. Raises MediaError."""
    try:
        if path.is_dir():
            labelled = (face for face in sorted(path.glob("*/*")) if face.is_file())
            return {face.name.rpartition("~")[2]: face.parent.name for face in labelled}

        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        return {Path(row["file"]).name.rpartition("~")[2]: row["label"].strip() for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, AttributeError) as error:
        raise MediaError(
            f"{path} is no table of labels ({error})",
            "Write a CSV file with the columns file and label, or sort copies of the faces into folders",
        ) from error


def _as_numbers(words: Sequence[str]) -> list[float] | None:
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def _split(coded: CodedFaces, chosen: np.ndarray) -> Split:
    """Which of the labelled faces to learn from."""
    split = split_by_time(coded.faces.sources[chosen], coded.faces.seconds[chosen])
    if len(split.train) < FEWEST or len(split.held_out) < FEWEST:
        raise ConfigError(
            f"{len(chosen)} faces of so little footage cannot be held apart", "Add faces, from more of the footage"
        )

    blocks = np.zeros(len(coded.codes), int)
    blocks[chosen] = split.blocks
    return Split(train=chosen[split.train], held_out=chosen[split.held_out], blocks=blocks)
