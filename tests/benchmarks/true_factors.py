"""What the latent knows of the drawn actors, whose truth is known: from how few labels, and how tidily.

    uv run python tests/benchmarks/true_factors.py OUT [--steps 1000] [--betas 1,4,16]

Films both leads of the drawn demo twice, bare and with glasses on, and learns them without any labels. Then

- probes: what `faceswap latent probe --labels` says of the truth about glasses, gaze and jaw, from codes, from pixels,
  and from an encoder that has learnt nothing;
- disentanglement: MIG (of each factor, too) and DCI of variational models, one for each beta, over the true factors.

What an earlier run has filmed, found and learnt is not done again. Tables and plots of the curves stay in OUT.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap.faces.faceset import Faceset
from faceswap.latent.disentanglement import dci, mutual_information_gaps
from faceswap.media.codecs import Encoding
from faceswap.media.video_write import write_clip
from faceswap.provenance.consent import NOBODY
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import LEADS, Actor, Performance, frames, perform
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.latent.faces import LatentInputs, coded_faces
from faceswap_pipelines.latent.probe import ProbeJob, probe
from faceswap_pipelines.training.job import TrainJob
from faceswap_pipelines.training.run import train

FRAMES = 300  # of each film: half a person's faces wear glasses
SIZE = 256
RATE = 25
OPEN = 0.5  # of a lid: behind one that is further closed no gaze is to be seen


@dataclass(frozen=True)
class Film:
    """Who is shown, and where in the movement it begins."""

    name: str
    actor: Actor
    seed: int


@dataclass(frozen=True)
class Truth:
    """What a face shows, as the script of its film has it."""

    performance: Performance
    glasses: bool

    @property
    def factors(self) -> dict[str, float]:
        """Everything that changes, by name."""
        shown = self.performance
        return {
            "yaw": shown.yaw,
            "pitch": shown.pitch,
            "jaw": shown.jaw,
            "smile": shown.smile,
            "lid": shown.lid,
            "gaze": shown.gaze[0],
            "light": shown.light[0],
            "glasses": float(self.glasses),
        }


def films_of(actor: Actor, first_seed: int) -> list[Film]:
    """The actor bare, and with glasses on at another place of the movement."""
    return [
        Film(f"{actor.name}.mp4", replace(actor, glasses=False), first_seed),
        Film(f"{actor.name}_glasses.mp4", replace(actor, glasses=True), first_seed + 1),
    ]


def film_and_extract(out: Path, films: Sequence[Film], faceset: Path) -> None:
    """Draw what is missing, and find the faces in it."""
    for film in films:
        if not (out / film.name).exists():
            pictures = (rendering.image for rendering in frames(film.actor, FRAMES, SIZE, film.seed))
            write_clip(out / film.name, pictures, Fraction(RATE), Encoding(crf=16))
    run(extract(ExtractJob(inputs=tuple(out / film.name for film in films), out=faceset)))


def truths(faceset: Path, films: Sequence[Film]) -> Iterator[tuple[str, Truth]]:
    """For each kept face: its file, and the truth about it."""
    by_name = {film.name: film for film in films}
    with Faceset.open(faceset) as faces:
        names = {source.id: source.path.name for source in faces.sources()}
        for face in faces.records(kept_only=True):
            film = by_name[names[face.source]]
            yield face.file, Truth(perform(face.frame, film.seed, RATE), film.actor.glasses)


def learnt(out: Path, facesets: Mapping[str, Path], steps: int, settings: Mapping[str, object]) -> Path:
    """A model of them, made without labels."""
    consent = dict.fromkeys(facesets, NOBODY)
    run(train(TrainJob(facesets=facesets, model=out, steps=steps, settings=settings, consent=consent)))
    return out


def print_probes(out: Path, inputs: LatentInputs, known: Mapping[str, Truth]) -> None:
    """Tables as `latent probe --labels` reads them, and what the probe says."""
    labels = {
        "glasses": {file: "glasses" if truth.glasses else "bare" for file, truth in known.items()},
        "gaze": {
            file: f"{truth.performance.gaze[0]:.4f}" for file, truth in known.items() if truth.performance.lid > OPEN
        },
        "jaw": {file: f"{truth.performance.jaw:.4f}" for file, truth in known.items()},
    }
    for name, values in labels.items():
        path = out / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("file", "label"), *values.items()])
        print(run(probe(ProbeJob(inputs=inputs, labels=path), out / f"{name}.png")).text)


def print_disentanglement(title: str, inputs: LatentInputs, known: Mapping[str, Truth]) -> None:
    """MIG and DCI over the true factors."""
    coded = run(coded_faces(inputs))
    rows = [known[Path(file).name.rpartition("~")[2]].factors for file in coded.faces.files]
    factors = {name: np.array([row[name] for row in rows]) for name in rows[0]}

    gaps = mutual_information_gaps(coded.codes, factors)
    scores = dci(coded.codes, factors)
    each = "  ".join(f"{name} {gap.gap:.2f}" for name, gap in gaps.items())
    print(
        f"{title}: MIG {np.mean([gap.gap for gap in gaps.values()]):.3f} ({each})"
        f"  disentanglement {scores.disentanglement:.2f}  completeness {scores.completeness:.2f}"
        f"  informativeness {scores.informativeness:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--betas", default="1,4,16", help="of variational models; by commas")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    # Film, and find the faces.
    cast = {person: films_of(actor, 2 * number) for number, (person, actor) in enumerate(zip("ab", LEADS, strict=True))}
    facesets = {person: out / "faces" / person for person in cast}
    for person, films in cast.items():
        film_and_extract(out, films, facesets[person])
    known = dict(truth for person, films in cast.items() for truth in truths(facesets[person], films))

    # From how few labels.
    model = learnt(out / "model", facesets, arguments.steps, {})
    print_probes(out, LatentInputs(model=model, facesets=facesets, most=len(known)), known)

    # How tidily.
    print_disentanglement("no prior", LatentInputs(model=model, facesets=facesets, most=len(known)), known)
    for beta in map(float, arguments.betas.split(",")):
        settings = {"latent": "vae", "beta": beta}
        model = learnt(out / f"beta_{beta:g}", facesets, arguments.steps, settings)
        print_disentanglement(f"beta {beta:g}", LatentInputs(model=model, facesets=facesets, most=len(known)), known)


if __name__ == "__main__":
    main()
