"""Damaged files of the program's own: nothing but success or the program's error comes out, and no row is lost."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceswap.config import ModelConfig, TrainConfig, to_toml
from faceswap.documents import parse_json, parse_toml
from faceswap.errors import ConfigError, FaceError, FaceswapError, MediaError, ModelError, OutputError
from faceswap.faces.faceset import Faceset
from faceswap.faces.track import Identity
from faceswap.faces.trackfile import TrackFile
from faceswap.media.pictures import read_picture
from faceswap.model.folder import ModelFile, read_config
from faceswap.provenance.consent import read_consent
from faceswap.types import FrameFaces
from faceswap_app import backend, cards
from faceswap_app.jobs import QueuedJob, read_job, write_job
from faceswap_cli.options import settings
from faceswap_pipelines.batching.plan import read_plan
from faceswap_pipelines.batching.state import State
from faceswap_pipelines.common.protocol import read_report
from faceswap_pipelines.swapping.job import SwapSettings, settings_from
from faceswap_pipelines.training.record import read_stats
from support.heads import a_face, head

FACES = 12
HUGE = "9" * 400
DEEP = "[" * 100_000
DOCUMENTS = {
    "empty": b"",
    "not UTF-8": b'name = "caf\xe9"',
    "NUL": b'{"a": "\\u0000"}',
    "half a character": b'{"a": "\\ud800"}',
    "a number of 400 digits": f'{{"seconds": {HUGE}}}'.encode(),
    "a number of 5,000 digits": f'{{"seconds": {"9" * 5000}}}'.encode(),
    "no number": b'{"a": NaN}',
    "infinite": b'{"a": 1e999}',
    "endless nesting": DEEP.encode(),
    "a list": b"[1, 2]",
    "null": b"null",
    "text": b'"text"',
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a faceset and a track file of twelve faces each, undamaged."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "clip.mp4").write_bytes(b"whatever")
    with Faceset.create(folder, 64) as faceset:
        source = faceset.source(folder / "clip.mp4")
        faceset.add(source, [a_face(source.id, frame) for frame in range(FACES)], next_frame=FACES)
        faceset.set_person(np.linspace(0, 1, 128))
    with TrackFile(folder / "tracks.db") as tracks:
        analysis = tracks.analysis("key", 0)
        seen = [
            FrameFaces(index=i, time=Fraction(i, 25), cut=i == 0, faces=(head(track=1), head(track=2)))
            for i in range(FACES)
        ]
        who = [Identity(track, np.linspace(0, track, 128)) for track in (1, 2)]
        tracks.add(analysis, seen, who, b"state")
        tracks.finish(analysis)
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "copy")
    return tmp_path / "copy"


def read_faceset(folder: Path) -> int:
    """Reads all that a faceset holds; how many faces there are."""
    with Faceset.open(folder) as faceset:
        sources = faceset.sources()
        assert faceset.person is None or faceset.person.shape == (128,)
        for source in sources:
            faceset.last_kept(source)
        return len([record.side for record in faceset.records()])


def read_tracks(path: Path) -> int:
    """Reads all that a track file holds; of how many frames it knows, after it was made anew of none."""
    with TrackFile(path) as tracks:
        analysis = tracks.analysis("key", 0)
        frames = list(tracks.frames(analysis))
        assert len(tracks.tracks(analysis)) == (2 if frames else 0)
        return len(frames)


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE face SET {column} = x'ff00' WHERE frame = 7" for column in ("time", "transform", "points", "size")),
        *(f"UPDATE face SET {column} = CAST(x'ff' AS TEXT)" for column in ("time", "transform", "reason", "yaw")),
        *(f"UPDATE face SET time = '{text}'" for text in ("", "1/0", "1e999999999", "NaN", "9" * 5000)),
        *(
            f"UPDATE face SET transform = '{text}'"
            for text in ("", "[1, 2]", f"[{HUGE}, 0, 0, 0]", DEEP, "[0, 0, 1, 1]")
        ),
        "UPDATE face SET embedding = x'00000000'",
        "UPDATE face SET points = zeroblob(5612)",
        "UPDATE face SET presence = 9e999",
        "UPDATE about SET person = 'somebody'",
        "UPDATE about SET crop_size = 'large'",
        "UPDATE source SET next_frame = 'soon'",
        "DELETE FROM about",
        "DROP TABLE face",
        "CREATE VIEW endless AS SELECT 1",
        "CREATE TRIGGER never AFTER UPDATE ON face BEGIN SELECT 1; END",
    ],
)
def test_rows_that_this_program_has_not_written(copied: Path, statement: str) -> None:
    change(copied / "faceset.db", statement)
    with pytest.raises(FaceError, match=r"faceset\.db") as error:
        read_faceset(copied)
    assert "extract again" in error.value.remedy


@pytest.mark.parametrize("seed", range(40))
def test_a_faceset_with_damaged_bytes_is_whole_or_says_so(copied: Path, seed: int) -> None:
    scatter(copied / "faceset.db", seed)
    outcome = attempt(read_faceset, copied)
    assert outcome == FACES or "faceset.db" in str(outcome) or "another version" in str(outcome)


@pytest.mark.parametrize("seed", range(40))
def test_a_track_file_with_damaged_bytes_is_read_or_made_anew(copied: Path, seed: int) -> None:
    scatter(copied / "tracks.db", seed)
    outcome = attempt(read_tracks, copied / "tracks.db")
    assert outcome in (0, FACES) or ("tracks.db" in str(outcome) and read_tracks(copied / "tracks.db") == 0)


def attempt(read: Callable[[Path], int], path: Path) -> int | str:
    """What comes out: a number, or the program's error. Anything else is one of the test."""
    try:
        return read(path)
    except FaceswapError as error:
        return str(error)


def scatter(path: Path, seed: int) -> None:
    """Does to a file what bad disks and worse people do: bits change, a stretch is overwritten, its end is missing."""
    rng, content = np.random.default_rng(seed), bytearray(path.read_bytes())
    for at in rng.integers(0, len(content), 2 ** int(rng.integers(0, 8))):
        content[at] ^= int(rng.integers(1, 256))
    if seed % 4 == 1:
        content[: int(rng.integers(0, 200))] = b""
    if seed % 4 == 2:
        content[int(rng.integers(0, len(content))) :] = b""
    path.write_bytes(content)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM identity WHERE track = 2",
        "DELETE FROM frame WHERE frame = 5",
        "UPDATE identity SET embedding = x'00'",
        "UPDATE face SET points = zeroblob(4)",
        "UPDATE face SET presence = 'sure'",
        "UPDATE frame SET time = '1e999999999' WHERE frame = 3",
        "UPDATE source SET next_frame = 99",
        "UPDATE source SET finished = 0",
        "UPDATE source SET finished = 0, state = x'ff'",
    ],
)
def test_a_track_file_with_bad_rows_is_made_anew(copied: Path, statement: str) -> None:
    change(copied / "tracks.db", statement)
    with TrackFile(copied / "tracks.db") as tracks, pytest.raises(OutputError, match=r"tracks\.db.*made anew"):
        analysis = tracks.analysis("key", 0)
        with tracks.reading():
            if analysis.state is not None:
                raise ValueError("as a tracker says of a state that is none")
        list(tracks.frames(analysis))
        tracks.tracks(analysis)
    assert read_tracks(copied / "tracks.db") == 0


def test_the_state_of_a_batch(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").touch()
    plan = tmp_path / "plan.toml"
    plan.write_text('[[job]]\nkind = "extract"\ninputs = ["in.mp4"]\nout = "faces"')
    [task] = read_plan(plan)
    with State(tmp_path / "batch.db") as state:
        assert state.entry(task) is None
    change(tmp_path / "batch.db", f"INSERT INTO task VALUES ('{task.name}', x'ff', 'key', '', 'long', '', 0)")
    with State(tmp_path / "batch.db") as state, pytest.raises(OutputError, match=r"batch\.db"):
        state.entry(task)


@pytest.mark.parametrize("content", DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents_that_are_none(tmp_path: Path, content: bytes) -> None:
    """As JSON and as TOML, at every door: refused with the file's name, or passed over where that is promised."""
    as_toml = b"x = " + content
    for name in ("config.toml", "settings.toml", "plan.toml"):
        (tmp_path / name).write_bytes(as_toml)
    doors: list[Callable[[], object]] = [
        lambda: read_config(tmp_path),
        lambda: settings_from(tmp_path / "settings.toml", {}),
        lambda: read_plan(tmp_path / "plan.toml"),
    ]
    for door in doors:
        with pytest.raises(FaceswapError):
            door()
    for name in ("consent.json", "progress.json", "stats.jsonl"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"consent\.json"):
        read_consent(tmp_path)
    assert read_report(tmp_path / "progress.json") is None
    assert read_stats(tmp_path / "stats.jsonl") == []


def test_what_parsers_let_through_is_refused() -> None:
    for text in (f"[{HUGE}]", "[NaN]", "[1e999]", '["\\u0000"]', '{"\\ud800": 1}', DEEP, "", b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011  # whatever it says: there is nothing else to be told apart
            parse_json(text)
    for text in (f"x = {HUGE}", "x = nan", "x = inf", 'x = "\\u0000"', f"x = {DEEP}", "x = " + "{a = " * 5000):
        with pytest.raises(ValueError):  # noqa: PT011  # as above
            parse_toml(text)
    sound = {"text": "ä\n", "numbers": [-(2**63), 2**63 - 1, 1.5, True, None]}
    assert parse_json(json.dumps(sound)) == sound


@pytest.mark.parametrize(
    "line",
    [
        "grain = " + HUGE,
        "grain = " + DEEP,
        'colour = "\\u0000"',
        "smooth = nan",
        "smooth = inf",
        "grain = {}",
        "grain = 2026-01-01",
    ],
)
def test_settings_of_a_swap(tmp_path: Path, line: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"[look]\n{line}")
    with pytest.raises(ConfigError, match=r"settings\.toml"):
        settings_from(file, {})
    with pytest.raises(ConfigError):
        settings_from(None, settings([line.replace(" ", "")]))


@pytest.mark.parametrize("line", ["width = 3200000", "blocks = 1000000", "latent_size = 9000000000", "codes = 1e3"])
def test_a_model_that_would_fill_the_memory(tmp_path: Path, line: str) -> None:
    sound = to_toml(ModelFile(model=ModelConfig(persons=("a", "b")), train=TrainConfig()))
    (tmp_path / "config.toml").write_text(sound)
    read_config(tmp_path)
    name = line.split()[0]
    kept = [line if each.startswith(f"{name} =") else each for each in sound.splitlines()]
    (tmp_path / "config.toml").write_text("\n".join(kept))
    with pytest.raises(ConfigError, match=name):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "plan",
    [
        "job = [1, 2]",
        "[[job]]\nkind = [1]",
        "defaults = { swap = 3 }\n[[job]]\nkind = 'swap'",
        "[[job]]\nkind = 'extract'\ninputs = ['in.mp4', \"\\u0000\"]\nout = 'x'",
        f"[[job]]\nkind = 'extract'\ninputs = ['{'x' * 300}']\nout = 'x'",
        "[[job]]\nkind = 'extract'\ninputs = ['in.mp4']\nout = '{stem:999999999}'",
        "[[job]]\nkind = 'extract'\ninputs = ['in.mp4']\nout = '{stem.__class__}'",
        "[[job]]\nkind = 'extract'\ninputs = ['in.mp4']\nout = '{'",
        "[[job]]\nkind = 'extract'\ninputs = ['in.mp4']\nout = '{}'",
        f"[[job]]\nkind = 'extract'\ninputs = ['in.mp4']\nout = 'x'\nskip_similar = {HUGE}",
    ],
)
def test_plans(tmp_path: Path, plan: str) -> None:
    (tmp_path / "plan.toml").write_text(plan)
    with pytest.raises(ConfigError):
        read_plan(tmp_path / "plan.toml")


def test_figures_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    stats = tmp_path / "stats.jsonl"
    whole = {"step": 3, "seconds": 1.5, "losses": {"a": {"total": 0.5, "mask": None}}}
    broken = ['{"step": 1}', '{"step": 1, "seconds": 2, "losses": [1]}', '{"step": 1, "seconds": "x"}', DEEP, "{"]
    broken.append('{"step": 1, "seconds": 2, "losses": {"a": {"total": "much"}}}')
    stats.write_bytes(b"\n".join([b"\xff\xfe", *(line.encode() for line in broken), json.dumps(whole).encode(), b""]))
    assert read_stats(stats) == [whole]


@pytest.mark.parametrize(
    "values",
    [
        {"id": "0008"},
        {"id": "../7"},
        {"arguments": []},
        {"arguments": [1]},
        {"status": "odd"},
        {"pid": -1},
        {"pid": 2**40},
        {"begun": 1e300},
        {"born": None},
        {"unknown": 1},
        {"title": "\ud800"},
    ],
)
def test_a_job_of_the_page(tmp_path: Path, values: dict[str, object]) -> None:
    job = QueuedJob(id="0007", project="p", title="Job", arguments=("swap", "x"))
    write_job(tmp_path / "0007", job)
    assert read_job(tmp_path / "0007") == job
    (tmp_path / "0007" / "job.json").write_text(json.dumps(asdict(job) | values))
    assert read_job(tmp_path / "0007") is None


@pytest.mark.parametrize("change", [{"done": "12"}, {"total": [1]}, {"note": None}, {"odd": 1}, {"unit": {}}])
def test_a_report_of_a_command(tmp_path: Path, change: dict[str, object]) -> None:
    report = {"title": "Swapping", "done": 12, "total": None, "unit": "frames", "note": "", "seconds": 3.4, "first": 0}
    (tmp_path / "progress.json").write_text(json.dumps(report))
    assert read_report(tmp_path / "progress.json") is not None
    (tmp_path / "progress.json").write_text(json.dumps(report | change))
    assert read_report(tmp_path / "progress.json") is None


def test_consent_is_a_record_of_names(tmp_path: Path) -> None:
    for persons in ({"a": "x" * 300}, {"a": "Jane\nDoe"}, {"a": 1}, [], None):
        (tmp_path / "consent.json").write_text(json.dumps({"persons": persons, "recorded": "2026-11-27"}))
        with pytest.raises(ModelError, match=r"consent\.json"):
            read_consent(tmp_path)


PIECES = (
    HUGE,
    "[" * 5000,
    "[",
    "{",
    "{}",
    '"',
    "''",
    "\\u0000",
    "\\ud800",
    "nan",
    "-1",
    "1e999",
    "null",
    "x" * 300,
    "..",
    "**",
)
"""What is written over a piece of a document: what parsers and programs stumble over."""


@pytest.mark.parametrize("seed", range(60))
def test_documents_in_which_pieces_are_others(tmp_path: Path, seed: int) -> None:
    """Read, or refused with the program's error, at every door; what comes out can be shown."""
    rng = random.Random(seed)
    report = {"title": "Swapping", "done": 12, "total": 48, "unit": "frames", "note": "", "seconds": 3.4, "first": 0}
    line = {"step": 1, "seconds": 1.5, "losses": {"a": {"total": 0.5}}, "latent": {"kl": 1.0}, "learning_rate": 0.001}
    plan = '[defaults.swap]\nmodel = "m"\n[[job]]\nkind = "swap"\ninputs = ["a.mp4"]\nout = "{stem}_{date}.mp4"\n'
    job = QueuedJob(
        id="0007", project="p", title="Job", arguments=("extract", "x", "--skip-similar", "2"), begun=1.0, ended=2.0
    )
    documents = {
        "config.toml": (
            to_toml(ModelFile(model=ModelConfig(persons=("a", "b")), train=TrainConfig())),
            lambda: read_config(tmp_path),
        ),
        "settings.toml": (to_toml(SwapSettings()), lambda: settings_from(tmp_path / "settings.toml", {})),
        "plan.toml": (plan, lambda: read_plan(tmp_path / "plan.toml")),
        "consent.json": ('{"persons": {"a": "Jane"}, "recorded": "2026-11-27"}', lambda: read_consent(tmp_path)),
        "progress.json": (json.dumps(report), lambda: cards.progress(read_report(tmp_path / "progress.json"))),
        "stats.jsonl": (json.dumps(line), lambda: backend.losses(tmp_path, {})),
        "job.json": (json.dumps(asdict(job)), lambda: [cards.row(job, None) for job in [read_job(tmp_path)] if job]),
    }
    for name, (text, door) in documents.items():
        for _ in range(5):
            content = bytearray(text.encode())
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(content))
                content[at : at + rng.randint(0, 8)] = rng.choice([*PIECES, chr(rng.randrange(256))]).encode("latin-1")
            (tmp_path / name).write_bytes(content)
            with suppress(FaceswapError):
                door()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_pictures_with_damaged_bytes(tmp_path: Path, kind: str) -> None:
    picture, path = (
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)),
        tmp_path / "p.png",
    )
    for seed in range(60):
        picture.save(path, kind)
        scatter(path, seed)
        with suppress(MediaError):
            assert read_picture(path).ndim == 3
