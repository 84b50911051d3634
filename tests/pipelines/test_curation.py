"""Cleaning a faceset: what each command chooses, that all of it can be taken back, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from faceswap.errors import ConfigError
from faceswap.faces import curate
from faceswap.faces.align import align
from faceswap.faces.curate import Condition, balanced, chain, dominant_identity, groups, thumbnail
from faceswap.faces.faceset import Faceset
from faceswap.faces.faceset_format import FaceRecord
from faceswap.faces.landmarks import FaceMesh
from faceswap.faces.quality import Measures, measure
from faceswap.media.pictures import read_picture, write_picture
from faceswap.media.video import read_frames
from faceswap.types import EMBEDDING, Face, Picture
from faceswap_cli.main import app
from faceswap_pipelines.curation.curate import ORDERS
from faceswap_pipelines.curation.faces import coverage_hints
from faceswap_pipelines.demo.actors import LEADS, Performance, Stage

EACH, FALSE = 12, 8
"""How many faces of either actor, and how many pieces of background, the mixed faceset has."""
States = dict[str, str | None]


def faces(*words: object) -> Result:
    return CliRunner().invoke(app, ["faces", *(str(word) for word in words)])


def said(*words: object) -> dict:
    result = faces(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def refused(result: Result, *parts: str) -> None:
    """Exit code 3 and one line on stderr with these parts."""
    assert result.exit_code == 3, result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


def records(folder: Path) -> list[FaceRecord]:
    with Faceset.open(folder) as faceset:
        return faceset.records()


def states(folder: Path) -> States:
    return {record.file: record.reason for record in records(folder)}


def kept(folder: Path) -> set[str]:
    return {record.file for record in records(folder) if record.kept}


def names(folder: Path) -> list[str]:
    """The pictures' files in the order in which a file browser shows them, as they were called at first."""
    return [path.name.rpartition("~")[2] for path in sorted((folder / "faces").glob("*.jpg"))]


def person(file: str) -> str:
    """Who is on a picture of the mixed faceset: a, b or x, which is nobody."""
    return file.split("_")[1]


def look(**values: float) -> Measures:
    plain = {"size": 200, "sharpness": 0.2, "brightness": 99, "yaw": 0, "pitch": 0, "roll": 0, "eyes": 0.3, "mouth": 0}
    return Measures(**(plain | values))


def collect(folder: Path, clip: Path, shots: Iterable[tuple[str, Picture, Face]]) -> None:
    """Add faces of pictures to a faceset, as extraction would if it let everything pass."""
    with Faceset.create(folder, 256) as faceset:
        source = faceset.source(clip)
        rows = []
        for index, (name, image, face) in enumerate(shots):
            aligned = align(image, face, 256)
            record = FaceRecord(
                file=f"{source.id:03d}_{name}_{index:06d}.jpg",
                source=source.id,
                frame=index,
                time=Fraction(index, 25),
                face=face,
                to_crop=aligned.to_crop,
                measures=measure(aligned),
            )
            rows.append((aligned, record))
        faceset.add(source, rows, len(rows))


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="module")
def first_mixed(
    clips: dict[str, Path], facesets: dict[str, Path], mesh: FaceMesh, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("mixed") / "faces"
    rng = np.random.default_rng(1)
    for name, clip in clips.items():
        images = {frame.index: frame.image for frame in read_frames(clip)}
        shots = [(name, images[r.frame], r.face) for r in records(facesets[name])[:: 48 // EACH][:EACH]]
        for image in list(images.values())[:: 96 // FALSE][: FALSE // 2]:
            x, y, side = rng.choice([10.0, 190.0]), rng.uniform(5, 40), rng.uniform(40, 55)  # beside the head
            shots.append(("x", image, mesh.locate(image, [(x, y, x + side, y + side)])[0]))
        collect(folder, clip, shots)
    return folder


@pytest.fixture
def mixed(first_mixed: Path, tmp_path: Path) -> Path:
    """A faceset of two actors and background; every test has its own."""
    return Path(shutil.copytree(first_mixed, tmp_path / "faces"))


def test_all_commands_can_be_taken_back_one_by_one(mixed: Path) -> None:
    some = [record.file for record in records(mixed)][3:6]
    said("cluster", mixed, "--groups", 3)
    commands: list[tuple[object, ...]] = [
        ("reject", mixed, "--files", *some),
        ("restore", mixed, some[0]),
        ("reject", mixed, "--duplicates", "--closer-than", 15),
        ("reject", mixed, "--where", "yaw>5", "--where", "mouth<0.2"),
        ("restore", mixed, "--reason", "by hand"),
        ("reject", mixed, "--balance", 9),
        ("restore", mixed, "--reason", "more than needed"),
        ("reject", mixed, "--group", 2),
        ("restore", mixed, "--all"),
    ]
    history = [states(mixed)]
    for words in commands:
        assert faces(*words).exit_code == 0
        history.append(states(mixed))
    said("sort", mixed, "--by", "yaw")  # changes names, not states
    for words, (before, after) in zip(commands, pairwise(history), strict=True):
        assert before != after, words
    for words, before in zip(commands[::-1], history[-2::-1], strict=True):
        result = said("restore", mixed)
        assert result["undone"]
        assert result["command"].startswith(str(words[0]))
        assert states(mixed) == before
    refused(faces("restore", mixed), "no command left", "--all")


def test_groups_part_actors_and_background(mixed: Path) -> None:
    result = said("cluster", mixed, "--groups", 3)
    assert result["groups"] == [EACH, EACH, FALSE]
    assert read_picture(Path(result["sheet"])).shape[1] > 1000
    inside = {number: {person(r.file) for r in records(mixed) if r.cluster == number} for number in (1, 2, 3)}
    assert all(len(persons) == 1 for persons in inside.values())
    assert inside[3] == {"x"}
    blocks = [(who, len(list(run))) for who, run in groupby(person(name) for name in names(mixed))]
    expected = [(inside[1].pop(), EACH), (inside[2].pop(), EACH), ("x", FALSE)]
    assert blocks == expected  # the files are numbered by group
    assert said("reject", mixed, "--group", 3)["rejected"] == {"group 3": FALSE}
    assert {person(file) for file in kept(mixed)} == {"a", "b"}


def test_strangers_are_those_who_are_not_the_person(mixed: Path, clips: dict[str, Path], tmp_path: Path) -> None:
    """Drawn actors resemble each other too much to be strangers; what is no face is one."""
    assert said("reject", mixed, "--strangers")["rejected"] == {"somebody else": FALSE}
    assert {person(file) for file in kept(mixed)} == {"a", "b"}
    said("restore", mixed)
    write_picture(tmp_path / "who.png", next(read_frames(clips["a"])).image)
    result = said("reject", mixed, "--strangers", "--person", tmp_path / "who.png")
    assert result["rejected"]["somebody else"] >= FALSE
    assert {file for file in kept(mixed) if person(file) == "x"} == set()
    assert sum(person(file) == "a" for file in kept(mixed)) == EACH
    write_picture(tmp_path / "nobody.png", np.full((90, 90, 3), 128, np.uint8))
    refused(faces("reject", mixed, "--strangers", "--person", tmp_path / "nobody.png"), "no face", "nobody.png")


def test_embeddings_are_asked_for_once(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said("sort", mixed, "--by", "identity")
    assert all(record.embedding is not None for record in records(mixed))
    monkeypatch.setattr("faceswap_pipelines.curation.curate.Identifier", None)  # a second use would fail
    said("cluster", mixed, "--groups", 2)


def test_main_person_is_no_crowd_of_false_faces() -> None:
    rng = np.random.default_rng(0)
    crowd, one = (rng.normal(0, 0.01, (count, EMBEDDING)) + np.eye(EMBEDDING)[i] for i, count in enumerate((30, 20)))
    presence = np.repeat([0.01, 1.0], [30, 20])
    who = dominant_identity(np.concatenate([crowd, one]), presence)
    assert curate.away_from(who, one).max() < 0.3 < 1 < curate.away_from(who, crowd).min()


def test_groups_are_numbered_by_size_whatever_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat([0, 1, 2], [10, 40, 25]))
    embeddings = np.eye(EMBEDDING)[truth] + rng.normal(0, 0.01, (75, EMBEDDING))
    expected = np.array([3, 1, 2])[truth]
    assert np.array_equal(groups(embeddings), expected)
    assert set(groups(embeddings, 1)) == {1}
    assert groups(embeddings, 75).max() == 75
    monkeypatch.setattr(curate, "_COMPARED", 30)
    assert np.array_equal(groups(embeddings), expected)
    assert np.array_equal(groups(embeddings[:1]), [1])
    assert groups(embeddings[:0]).shape == (0,)


def test_balance_spreads_poses_and_expressions_and_prefers_sharp_faces() -> None:
    rng = np.random.default_rng(0)
    spread = {"yaw": (0, 12), "pitch": (0, 6), "eyes": (0.3, 0.03), "mouth": (0.1, 0.05), "sharpness": (0.2, 0.05)}
    crowd = [look(**{key: rng.normal(*place) for key, place in spread.items()}) for _ in range(3000)]

    def unevenness(chosen: np.ndarray, key: str) -> float:
        """How far a histogram is from flat: 0 if it is."""
        values = curate.column(crowd, key)
        edges = np.linspace(*np.percentile(values, [2, 98]), 9)
        counts = np.histogram(values[chosen], edges)[0]
        return float(counts.std() / counts.mean())

    chosen = balanced(crowd, 240)
    assert len(chosen) == len(set(chosen.tolist())) == 240
    random = rng.choice(len(crowd), 240, replace=False)
    for key in ("yaw", "pitch", "mouth", "eyes"):
        assert unevenness(chosen, key) < 0.5 * unevenness(random, key)
    sharpness = curate.column(crowd, "sharpness")
    assert sharpness[chosen].mean() > sharpness.mean() + 0.3 * sharpness.std()
    assert sorted(balanced(crowd[:9], 50)) == list(range(9))
    same = [look(sharpness=s) for s in (0.1, 0.3, 0.2)]
    assert balanced(same, 2).tolist() == [1, 2]
    assert len(balanced([], 5)) == 0


def test_balance_keeps_as_many_as_asked_for(mixed: Path) -> None:
    result = said("reject", mixed, "--balance", 12)
    assert result["kept"] == len(kept(mixed)) == 12
    assert result["rejected"] == {"more than needed": 2 * EACH + FALSE - 12}
    assert said("reject", mixed, "--balance", 500)["rejected"] == {}
    assert len(kept(mixed)) == 12


def test_of_a_still_one_face_stays_and_a_speaking_face_stays_all(mesh: FaceMesh, tmp_path: Path) -> None:
    stage, rng = Stage(LEADS[0]), np.random.default_rng(0)
    shots = []
    for jaw in [0.0] * 8 + [0.3, 0.6, 0.9]:
        rendering = stage.render(Performance(jaw=jaw))
        noisy = np.clip(rendering.image + rng.normal(0, 1.5, rendering.image.shape), 0, 255).astype(np.uint8)
        low, high = rendering.landmarks.min(axis=0), rendering.landmarks.max(axis=0)
        rough = mesh.locate(noisy, [(float(low[0]) - 30, float(low[1]) - 50, float(high[0]) + 30, float(high[1]) + 40)])
        shots.append((f"jaw{jaw:.1f}", noisy, mesh.locate(noisy, rough)[0]))
    (tmp_path / "clip").write_bytes(b"whatever")
    collect(tmp_path / "f", tmp_path / "clip", shots)
    assert said("reject", tmp_path / "f", "--duplicates")["rejected"] == {"near-duplicate": 7}
    assert [person(file) for file in sorted(kept(tmp_path / "f"))] == ["jaw0.0", "jaw0.3", "jaw0.6", "jaw0.9"]
    nearly = said("reject", tmp_path / "f", "--duplicates", "--closer-than", 250)  # a moving mouth is no duplicate
    assert nearly["rejected"] == {}


def test_duplicates_are_of_a_face_that_stays() -> None:
    """A slow change is thinned out, not followed to its end."""
    ramp = np.arange(12.0)[:, None, None, None] * np.ones((16, 16, 3))
    repeated = curate.near_duplicates([look()] * 12, ramp, 2.5)
    assert np.flatnonzero(~repeated).tolist() == [0, 3, 6, 9]
    turning = [look(yaw=float(i)) for i in range(12)]
    assert np.flatnonzero(~curate.near_duplicates(turning, 0 * ramp, 2.5)).tolist() == [0, 2, 4, 6, 8, 10]


def test_a_chain_walks_from_one_end_to_the_other() -> None:
    shuffled = np.random.default_rng(0).permutation(30)
    shades = shuffled[:, None, None, None] * np.ones((16, 16, 3))
    walked = shuffled[chain(shades)].tolist()
    assert walked in (sorted(walked), sorted(walked, reverse=True))
    assert chain(shades[:0]).tolist() == []
    assert thumbnail(np.zeros((5, 5, 3), np.uint8)).shape == (16, 16, 3)


@pytest.mark.parametrize("by", [key for key in ORDERS if key != "identity"])
def test_files_are_numbered_in_the_wanted_order(by: str, mixed: Path) -> None:
    said("reject", mixed, "--where", "brightness>140")
    before, count = states(mixed), len(kept(mixed))
    assert said("sort", mixed, "--by", by)["kept"] == count
    assert states(mixed) == before  # states and faces are what they were
    shown = names(mixed)
    if by == "time":
        assert shown == sorted(before)
        return
    assert set(shown[:count]) == kept(mixed)  # rejected ones come last
    measures = {record.file: record.measures for record in records(mixed)}
    if by != "similarity":
        values = [getattr(measures[file], by) for file in shown[:count]]
        assert values == sorted(values)
    said("sort", mixed, "--by", by, "--reverse")
    assert names(mixed)[:count] == shown[:count][::-1]
    said("sort", mixed, "--by", "time")
    assert [path.name for path in sorted((mixed / "faces").iterdir())] == sorted(before)


def test_a_face_deleted_under_its_number_is_left_out(mixed: Path) -> None:
    said("sort", mixed, "--by", "sharpness")
    first = min((mixed / "faces").iterdir())
    first.unlink()
    assert first.name.rpartition("~")[2] not in kept(mixed)
    assert len(kept(mixed)) == 2 * EACH + FALSE - 1
    for words in (("sort", "--by", "similarity"), ("reject", "--duplicates"), ("stats",), ("sheet",), ("cluster",)):
        said(words[0], mixed, *words[1:])
    refused(faces("reject", mixed, "--files", first.name), "no face", "faceswap faces list")


def test_a_kill_in_the_middle_of_renaming_loses_nothing(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said("sort", mixed, "--by", "yaw")
    before, contents = states(mixed), {n.rpartition("~")[2]: p for n, p in pictures(mixed).items()}
    rename, left = Path.rename, [17]

    def dying(path: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", dying)
    assert faces("sort", mixed, "--by", "pitch").exit_code == 130
    monkeypatch.undo()
    assert states(mixed) == before
    assert {name.rpartition("~")[2]: p for name, p in pictures(mixed).items()} == contents
    said("sort", mixed, "--by", "time")
    assert pictures(mixed) == contents


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "faces").glob("*.jpg")}


def test_a_copy_made_by_hand_is_not_written_over(mixed: Path) -> None:
    original = min((mixed / "faces").iterdir())
    shutil.copy(original, original.with_name(f"9~{original.name}"))
    for by in ("yaw", "time", "similarity", "time"):
        said("sort", mixed, "--by", by)
        assert len(pictures(mixed)) == 2 * EACH + FALSE + 1
    assert len(states(mixed)) == 2 * EACH + FALSE


def test_a_dry_run_shows_and_changes_nothing(mixed: Path, tmp_path: Path) -> None:
    before = states(mixed)
    out = tmp_path / "would.png"
    result = said("reject", mixed, "--where", "mouth<1", "--dry-run", "--out", out)
    assert (result["kept"], result["rejected"]) == (0, {"mouth<1": len(before)})
    assert read_picture(out).shape[1] > 1000
    assert states(mixed) == before
    refused(faces("restore", mixed), "no command left")


def test_several_rules_at_once_are_one_change_with_a_reason_each(mixed: Path) -> None:
    some = sorted(kept(mixed))[:2]
    result = said("reject", mixed, *some, "--strangers", "--balance", 10)
    assert result["kept"] == 10
    assert result["rejected"] == {"by hand": 2, "somebody else": FALSE, "more than needed": 2 * EACH - 2 - 10}
    assert said("restore", mixed, "--last")["command"] == "reject --strangers --files --balance 10"
    assert len(kept(mixed)) == len(states(mixed))


def test_sheets_and_single_faces(mixed: Path) -> None:
    said("reject", mixed, "--where", "yaw>0")
    for words in ((), ("--by", "yaw", "--count", 5), ("--rejected",), ("--rejected", "--by", "mouth")):
        assert read_picture(Path(said("sheet", mixed, *words)["sheet"])).shape[2] == 3
    assert [len(said("show", mixed, *words)["faces"]) for words in ((), ("--count", 3))] == [6, 3]
    said("sort", mixed, "--by", "yaw")
    numbered = min(path.name for path in (mixed / "faces").iterdir())
    shown = said("show", mixed, numbered)
    assert [face["file"] for face in shown["faces"]] == [numbered.rpartition("~")[2]]
    assert read_picture(mixed / "show.png").shape[:2] > (384, 768)
    for file, reason in list(states(mixed).items())[:2]:  # rejected ones can be looked at too
        assert said("show", mixed, file)["faces"][0]["reason"] == reason


def test_figures_of_a_faceset(mixed: Path, clips: dict[str, Path]) -> None:
    said("reject", mixed, "--strangers")
    result = said("stats", mixed)
    assert (result["kept"], result["rejected"], result["reasons"]) == (2 * EACH, FALSE, {"somebody else": FALSE})
    assert result["sources"] == {str(clip): EACH for clip in clips.values()}
    assert set(result["medians"]) == {*curate.KEYS, curate.OCCLUDED}
    assert read_picture(Path(result["chart"])).shape[1] == 1000
    assert "few" in result["hints"][0]
    said("reject", mixed, "--where", "mouth<9")
    empty = faces("stats", mixed).stdout
    for part in ("0 faces kept", "somebody else", "mouth<9", "Hint: no face is kept"):
        assert part in empty


def test_hints_name_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    wide = [
        look(yaw=yaw, pitch=pitch, mouth=mouth, eyes=eyes)
        for yaw, pitch, mouth, eyes in zip(
            rng.uniform(-30, 30, 900),
            rng.uniform(-20, 20, 900),
            rng.uniform(0, 0.3, 900),
            rng.choice([0.3, 0.1], 900),
            strict=True,
        )
    ]
    assert coverage_hints(wide) == []
    one_sided = coverage_hints([face for face in wide if face.yaw > 0 and face.mouth < 0.05])
    assert any("to the left" in hint for hint in one_sided)
    assert any("open mouth" in hint for hint in one_sided)
    assert not any("to the right" in hint for hint in one_sided)


def test_conditions_are_read_and_refused() -> None:
    assert str(Condition.parse(" yaw > -12.50 ")) == "yaw>-12.5"
    assert Condition.parse("mouth<.1").holds(np.array([0.1, 0.09])).tolist() == [False, True]
    assert not Condition.parse("occluded>0.2").known
    for text in ("yaw", "yaw=3", "yaw<", "<3", "yaw<3<4", "yaw<x", ""):
        with pytest.raises(ConfigError, match="KEY<VALUE"):
            Condition.parse(text)
    with pytest.raises(ConfigError, match="sharpness"):
        Condition.parse("beauty>3")


def test_what_cannot_be_meant_is_refused(mixed: Path, tmp_path: Path) -> None:
    refused(faces("reject", mixed), "not said which", "--where")
    refused(faces("reject", mixed, "--where", "beauty>3"), "not a measure", "sharpness")
    refused(faces("reject", mixed, "--group", 1), "no groups yet", "faceswap faces cluster")
    refused(faces("reject", mixed, "--balance", 0), "keep no face")
    refused(faces("reject", mixed, "--duplicates", "--closer-than", 0), "above zero")
    refused(faces("reject", mixed, "--person", "who.png", "--balance", 3), "--strangers")
    refused(faces("reject", mixed, "--files", "nowhere.jpg"), "nowhere.jpg")
    refused(faces("sort", mixed, "--by", "beauty"), "beauty", "similarity")
    refused(faces("sheet", mixed, "--by", "beauty"), "beauty", "sharpness")
    refused(faces("sheet", mixed, "--rejected"), "no rejected faces")
    refused(faces("show", mixed, "nowhere.jpg"), "nowhere.jpg")
    refused(faces("cluster", mixed, "--groups", 999), "999 groups")
    refused(faces("restore", mixed, "--reason", "ugly"), "ugly")
    refused(faces("restore", mixed, "--all", "--last"), "one of them")
    said("cluster", mixed, "--groups", 2)
    refused(faces("reject", mixed, "--group", 3), "no group 3", "1 to 2")
    assert set(states(mixed).values()) == {None}
    for words in (("sheet",), ("show",), ("stats",), ("sort", "--by", "yaw"), ("cluster",), ("restore",)):
        refused(faces(words[0], tmp_path / "none", *words[1:]), "not a faceset", "faceswap extract")
    Faceset.create(tmp_path / "empty", 64).close()
    for words in (("sheet",), ("show",), ("stats",), ("sort", "--by", "yaw"), ("cluster",), ("reject", "--strangers")):
        refused(faces(words[0], tmp_path / "empty", *words[1:]), "is empty", "Extract")
    assert faces("sort", mixed).exit_code == 2


def test_a_faceset_that_keeps_nothing(mixed: Path) -> None:
    said("reject", mixed, "--where", "mouth<9")
    refused(faces("cluster", mixed), "keeps no face", "restore")
    refused(faces("show", mixed), "keeps no face")
    refused(faces("sheet", mixed, "--by", "yaw"), "keeps no face", "--rejected")
    for words in (("reject", "--strangers", "--duplicates", "--balance", 3), *(("sort", "--by", by) for by in ORDERS)):
        assert said(words[0], mixed, *words[1:])["kept"] == 0
    assert said("sheet", mixed)["rejected"] == 2 * EACH + FALSE
