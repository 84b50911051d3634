"""From how few labels glasses, gaze and mouth of the drawn actors are told, whose truth is known.

    uv run python tests/benchmarks/labels.py OUT [--steps 1000]

Films both leads of the drawn demo twice, bare and with glasses on, learns them without any labels, and then asks for
each quantity what `faceswap latent probe --labels` says of the truth: from codes, from pixels, and from an encoder that
has learnt nothing. What an earlier run has filmed, found and learnt is not done again. The tables and the plots of the
curves stay in OUT.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from faceswap.faces.faceset import Faceset
from faceswap.media.codecs import Encoding
from faceswap.media.video_write import write_clip
from faceswap.provenance.consent import NOBODY
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.demo.actors import LEADS, Actor, frames, perform
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.latent.faces import LatentInputs
from faceswap_pipelines.latent.probe import ProbeJob, probe
from faceswap_pipelines.training.job import TrainJob
from faceswap_pipelines.training.run import train

FRAMES = 300  # of each film: half a person's faces wear glasses
SIZE = 256
RATE = 25
OPEN = 0.5  # of a lid: behind one that is further closed no gaze is to be seen

Film = tuple[str, Actor, int]
"""File name, who is shown, and where in the movement the film begins."""


def films(actor: Actor, first_seed: int) -> list[Film]:
    """The actor bare, and with glasses on at another place of the movement."""
    bare = replace(actor, glasses=False)
    dressed = replace(actor, glasses=True)
    return [(f"{actor.name}.mp4", bare, first_seed), (f"{actor.name}_glasses.mp4", dressed, first_seed + 1)]


def film_and_extract(out: Path, person_films: list[Film], faceset: Path) -> None:
    """Draw what is missing, and find the faces in it."""
    clips = tuple(out / name for name, _, _ in person_films)
    for clip, (_, actor, seed) in zip(clips, person_films, strict=True):
        if not clip.exists():
            pictures = (rendering.image for rendering in frames(actor, FRAMES, SIZE, seed))
            write_clip(clip, pictures, Fraction(RATE), Encoding(crf=16))
    run(extract(ExtractJob(inputs=clips, out=faceset)))


def truths(faceset: Path, person_films: list[Film]) -> Iterator[dict[str, str]]:
    """For each kept face: its file, and the truth about it as the script of its film has it."""
    scripts = {name: (actor, seed) for name, actor, seed in person_films}
    with Faceset.open(faceset) as faces:
        sources = {source.id: source.path.name for source in faces.sources()}
        for face in faces.records(kept_only=True):
            actor, seed = scripts[sources[face.source]]
            performance = perform(face.frame, seed, RATE)
            looks = f"{performance.gaze[0]:.4f}" if performance.lid > OPEN else ""
            yield {
                "file": face.file,
                "glasses": "glasses" if actor.glasses else "bare",
                "gaze": looks,
                "jaw": f"{performance.jaw:.4f}",
            }


def write_labels(path: Path, rows: list[dict[str, str]], column: str) -> None:
    """A table as `latent probe --labels` reads it, of the faces that have a label."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label"])
        table.writerows([row["file"], row[column]] for row in rows if row[column])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    # Film, and find the faces.
    cast = {person: films(actor, 2 * number) for number, (person, actor) in enumerate(zip("ab", LEADS, strict=True))}
    facesets = {person: out / "faces" / person for person in cast}
    for person, person_films in cast.items():
        film_and_extract(out, person_films, facesets[person])

    # Learn them without labels.
    consent = dict.fromkeys(cast, NOBODY)
    run(train(TrainJob(facesets=facesets, model=out / "model", steps=arguments.steps, consent=consent)))

    # Ask.
    rows = [row for person in cast for row in truths(facesets[person], cast[person])]
    for column in ("glasses", "gaze", "jaw"):
        labels = out / f"{column}.csv"
        write_labels(labels, rows, column)
        inputs = LatentInputs(model=out / "model", facesets=facesets, most=len(rows))
        print(run(probe(ProbeJob(inputs=inputs, labels=labels), out / f"{column}.png")).text)


if __name__ == "__main__":
    main()
