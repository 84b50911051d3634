"""Damaged and hostile inputs at every door: how many are read or refused as they should be, and which are not.

    uv run python tests/benchmarks/hostile.py --inputs 10000 [--seed 0] [--keep DIR]

Sound files of each kind that the program reads are made, and each input is one of them with bytes changed, moved,
doubled or cut off, numbers made enormous, or pieces put in that parsers stumble over. Right is success or the program's
own error. Wrong is any other error, a crash, more than 20 seconds, or a process of more than 2 GB; such inputs are
copied to --keep. Inputs are read in processes of their own, so that none of them ends the run. `tests/test_damage.py`
does a little of this each time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from faceswap.config import ModelConfig, TrainConfig, to_toml
from faceswap.errors import FaceswapError
from faceswap.faces.examples import examples_file, read_examples, write_examples
from faceswap.faces.faceset import Faceset
from faceswap.faces.skin import Skin, read_skins, skin_file, write_skins
from faceswap.faces.track import Identity
from faceswap.faces.trackfile import TrackFile
from faceswap.media.codecs import Encoding
from faceswap.media.pictures import read_picture
from faceswap.media.video import probe, read_frames
from faceswap.media.video_write import write_clip
from faceswap.model.folder import ModelFile, create_model_folder, load_model, read_config
from faceswap.model.identities import identity_file, read_identities, write_identities
from faceswap.provenance.consent import read_consent
from faceswap.training.checkpoint import load_checkpoint, save_checkpoint
from faceswap.training.state import Budget, start_training
from faceswap.types import FrameFaces, Picture
from faceswap_pipelines.batching.plan import read_plan
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.common.protocol import read_report
from faceswap_pipelines.swapping.job import SwapSettings, settings_from
from faceswap_pipelines.training.record import read_stats
from faceswap_pipelines.verification import verify

sys.path.append(str(Path(__file__).parents[1]))  # for support/, as pytest has it
from support.heads import a_face, head

SECONDS, BYTES = 20.0, 2 * 2**30
_AT_ONCE = 200  # inputs that one process reads, unless one of them ends it
_CPU = torch.device("cpu")
_SMALL = ModelConfig(persons=("a", "b"), size=32, width=8, max_width=32, latent_size=16)
_PIECES = (
    b"9" * 400,
    b"[" * 5000,
    b"\\u0000",
    b"\\ud800",
    b"nan",
    b"-1",
    b"1e999",
    b"null",
    b"\xff\xfe",
    b"..",
    b"\0" * 64,
)


@dataclass(frozen=True, kw_only=True)
class Door:
    """A kind of input: a sound one, which file of it is damaged, and what reads it."""

    sound: Path
    """A folder."""
    file: str
    read: Callable[[Path], object]
    """Of a folder like that."""


def main() -> None:
    """Print a table, and what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that went wrong")
    arguments = parser.parse_args()

    torch.set_num_threads(1)  # processes are forked: threads would not come along
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        doors = made(Path(folder) / "sound")
        results: dict[str, Counter[str]] = {name: Counter() for name in doors}
        for name, number, outcome in tried(doors, arguments.inputs, arguments.seed, Path(folder)):
            kind = outcome if outcome in ("read", "refused") else "wrong"
            results[name][kind] += 1
            if kind == "wrong":
                print(f"{name}, input {number}: {outcome}", flush=True)
                _keep(doors[name], name, number, arguments)

    print("\n| door | read | refused | wrong |\n|---|---|---|---|")
    for name, counts in results.items():
        print(f"| {name} | {counts['read']} | {counts['refused']} | {counts['wrong']} |")
    total = sum(results.values(), Counter())
    print(f"| together | {total['read']} | {total['refused']} | {total['wrong']} |")


def tried(doors: Mapping[str, Door], count: int, seed: int, work: Path) -> Iterator[tuple[str, int, str]]:
    """Each input by its door's name and its number, and what came of it."""
    cases = [(name, number) for number, name in zip(range(count), _endlessly(sorted(doors)), strict=False)]
    while cases:
        chunk = cases[:_AT_ONCE]
        with _reader(doors, chunk, seed, work) as outcomes:
            done = 0
            for outcome in outcomes:
                yield (*chunk[done], outcome)
                done += 1
        cases = cases[done:]


def _endlessly(names: Sequence[str]) -> Iterator[str]:
    while True:
        yield from names


@contextmanager
def _reader(
    doors: Mapping[str, Door], cases: Sequence[tuple[str, int]], seed: int, work: Path
) -> Iterator[Iterator[str]]:
    """What comes of each case, in a process of its own; the last one may be that which ended it."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_read_all, args=(doors, cases, seed, work, theirs))
    process.start()
    theirs.close()

    def outcomes() -> Iterator[str]:
        for _ in cases:
            try:
                if not ours.poll(SECONDS):
                    yield f"took more than {SECONDS:g} s"
                    return
                yield ours.recv()
            except EOFError:
                process.join()
                yield f"ended the process with {process.exitcode}"
                return

    try:
        yield outcomes()
    finally:
        process.kill()
        process.join()


def _read_all(
    doors: Mapping[str, Door], cases: Sequence[tuple[str, int]], seed: int, work: Path, told: Connection
) -> None:
    for name, number in cases:
        folder = work / "case"
        shutil.rmtree(folder, ignore_errors=True)
        damaged(doors[name], seed, number, folder)
        try:
            doors[name].read(folder)
            outcome = "read"
        except FaceswapError:
            outcome = "refused"
        except BaseException:  # whatever it is, it is what is looked for
            outcome = traceback.format_exc(limit=-3)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > BYTES:
            told.send("took more than 2 GB")
            return
        told.send(outcome)


def damaged(door: Door, seed: int, number: int, folder: Path) -> None:
    """A copy of the sound input, damaged: always in the same way for the same seed and number."""
    shutil.copytree(door.sound, folder)
    file, rng = folder / door.file, random.Random(f"{seed} {number}")
    content = bytearray(file.read_bytes())
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        _damage(content, rng)
    file.write_bytes(content)


def _damage(content: bytearray, rng: random.Random) -> None:
    """One piece is changed."""
    at, length = rng.randrange(len(content) + 1), rng.choice((1, 2, 4, 8, 64, 1024))
    piece = bytes(content[at : at + length])
    match rng.randrange(8):
        case 0:
            content[at : at + length] = rng.randbytes(length)
        case 1 if piece:
            content[at] ^= 1 << rng.randrange(8)
        case 2:
            del content[at : at + length]
        case 3:
            content[at:at] = piece * rng.choice((1, 2, 50))
        case 4 if rng.random() < 0.3:
            del content[at:]
        case 5:
            content[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0"))
        case 6:
            content[at : at + rng.randrange(9)] = rng.choice(_PIECES)
        case _:
            other = rng.randrange(len(content) + 1)
            content[at : at + length] = content[other : other + length]


def made(folder: Path) -> dict[str, Door]:
    """A sound input for every door."""
    pictures = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8) for i in range(6)]
    doors: dict[str, Door] = {}

    def door(name: str, file: str, read: Callable[[Path], object]) -> Path:
        """A new door's folder, to be filled."""
        place = folder / name.replace(" ", "_")
        place.mkdir(parents=True)
        doors[name] = Door(sound=place, file=file, read=read)
        return place

    # Documents.
    model = to_toml(ModelFile(model=_SMALL, train=TrainConfig()))
    line = {"step": 1, "seconds": 1.5, "losses": {"a": {"total": 0.5}}, "latent": {"kl": 1.0}, "learning_rate": 0.001}
    report = {"title": "Swapping", "done": 1, "total": 8, "unit": "frames", "note": "", "seconds": 3.4, "first": 0}
    plan = '[defaults.swap]\nmodel = "m"\n[[job]]\nkind = "swap"\ninputs = ["a.mp4"]\nout = "{stem}.mp4"\n'
    documents: dict[str, tuple[str, Callable[[Path], object]]] = {
        "config.toml": (model, read_config),
        "settings.toml": (to_toml(SwapSettings()), lambda f: settings_from(f / "settings.toml", {})),
        "plan.toml": (plan, lambda f: read_plan(f / "plan.toml")),
        "consent.json": ('{"persons": {"a": "Jane"}, "recorded": "2026-11-27"}', read_consent),
        "stats.jsonl": (f"{json.dumps(line)}\n" * 3, lambda f: read_stats(f / "stats.jsonl")),
        "progress.json": (json.dumps(report), lambda f: read_report(f / "progress.json")),
    }
    for name, (text, read) in documents.items():
        (door(name, name, read) / name).write_text(text)

    # Databases, and what a model consists of.
    _make_faceset(door("faceset", "faceset.db", _read_faceset))
    _make_tracks(door("track file", "tracks.db", _read_tracks))
    for file in ("weights.safetensors", "training.safetensors", "state.json"):
        _make_model(door(f"checkpoint {file}", f"checkpoint/00000000/{file}", _read_model))
    write_identities(door("persons", identity_file(Path()).name, read_identities), {"a": np.linspace(0, 1, 128)})
    plane = np.full((40, 60), 0.1, np.float32)
    skin = Skin(detail=plane, known=plane, turns=(-10.0, 10.0))
    write_skins(door("skin", skin_file(Path()).name, read_skins), {"a": skin})

    write_examples(door("examples", examples_file(Path()).name, read_examples), {"a": pictures[:1]})

    # Pictures and films, to be read and to be verified.
    for suffix in ("png", "jpg", "webp", "tif", "bmp", "gif"):
        place = door(f"picture .{suffix}", f"p.{suffix}", lambda f, s=suffix: read_picture(f / f"p.{s}"))  # type: ignore[misc]
        Image.fromarray(pictures[0]).save(place / f"p.{suffix}")
    for suffix in ("mp4", "mov", "mkv"):
        place = door(f"film .{suffix}", f"v.{suffix}", lambda f, s=suffix: _read_film(f / f"v.{s}"))  # type: ignore[misc]
        _make_film(place / f"v.{suffix}", pictures)
        place = door(f"verify .{suffix}", f"v.{suffix}", lambda f, s=suffix: run(verify([f / f"v.{s}"])))  # type: ignore[misc]
        _make_film(place / f"v.{suffix}", pictures)
    return doors


def _make_film(path: Path, pictures: Sequence[Picture]) -> None:
    write_clip(path, iter(pictures), Fraction(25), Encoding())


def _read_film(path: Path) -> None:
    probe(path)
    list(islice(read_frames(path), 12))


def _make_faceset(folder: Path) -> None:
    (folder / "clip.mp4").write_bytes(b"whatever")
    with Faceset.create(folder, 64) as faceset:
        source = faceset.source(folder / "clip.mp4")
        faceset.add(source, [a_face(source.id, frame) for frame in range(12)], next_frame=12)
        faceset.set_person(np.linspace(0, 1, 128))


def _read_faceset(folder: Path) -> None:
    with Faceset.open(folder) as faceset:
        for source in faceset.sources():
            faceset.last_kept(source)
        assert faceset.person is None or faceset.person.shape == (128,)
        for record in faceset.records():
            assert record.side > 0


def _make_tracks(folder: Path) -> None:
    with TrackFile(folder / "tracks.db") as tracks:
        analysis = tracks.analysis("key", 0)
        seen = [
            FrameFaces(index=i, time=Fraction(i, 25), cut=i == 0, faces=(head(track=1), head(track=2)))
            for i in range(12)
        ]
        tracks.add(analysis, seen, [Identity(track, np.linspace(0, track, 128)) for track in (1, 2)], b"state")
        tracks.finish(analysis)


def _read_tracks(folder: Path) -> None:
    with TrackFile(folder / "tracks.db") as tracks:
        analysis = tracks.analysis("key", 0)
        list(tracks.frames(analysis))
        tracks.tracks(analysis)


def _make_model(folder: Path) -> None:
    create_model_folder(folder, _SMALL, TrainConfig())
    state = start_training(_SMALL, TrainConfig(), _CPU)
    save_checkpoint(folder, state, Budget(steps=1, start_step=0))


def _read_model(folder: Path) -> None:
    load_checkpoint(folder, _CPU)
    load_model(folder, _CPU)


def _keep(door: Door, name: str, number: int, arguments: argparse.Namespace) -> None:
    if arguments.keep is not None:
        place = arguments.keep / f"{name.replace(' ', '_')}_{arguments.seed}_{number}"
        shutil.rmtree(place, ignore_errors=True)
        damaged(door, arguments.seed, number, place)


if __name__ == "__main__":
    main()
