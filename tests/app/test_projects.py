"""The app's projects: what lies where, and that nothing a visitor says leads out of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceswap.config import SwapConfig
from faceswap.errors import ConfigError, FaceswapError, MediaError
from faceswap_app import backend, charts, commands
from faceswap_app.components import check_payload, number, one_of, text_of
from faceswap_app.desk import open_desk
from faceswap_app.project import AGREES, INVENTED, KEYS, Project
from faceswap_app.projects import Projects
from faceswap_app.swap_choices import LOOKS, faces_in_words, wanted_swap
from faceswap_app.tab_faces import _titled
from faceswap_app.tab_swap import SwapTab
from support.studio import Studio

H264 = ("--codec", "h264", "--crf", "18")


@pytest.fixture
def projects(tmp_path: Path) -> Projects:
    folder = tmp_path / "projects"
    folder.mkdir()
    return Projects(folder)


@pytest.fixture
def project(projects: Projects) -> Project:
    return projects.create("pair")


def test_makes_and_finds_projects(projects: Projects, project: Project) -> None:
    (projects.folder / ".jobs").mkdir()
    (projects.folder / "outside").symlink_to(projects.folder.parent)
    assert projects.names() == ["pair"]
    assert projects.last() == "pair"
    for name in ("", " ", "..", "../x", "a/b", ".hidden", "x" * 99, "results", "pair"):
        with pytest.raises(ConfigError):
            projects.create(name)
    for name in (None, "", "../projects/pair", "outside", "gone", ["pair"]):
        with pytest.raises(ConfigError, match=r"project|list"):
            projects.open(name)


def test_remembers_persons(projects: Projects, project: Project) -> None:
    assert [person.name for person in project.persons().values()] == ["Person A", "Person B"]
    with pytest.raises(ConfigError, match=r"Person A and Person B agree\. Say so"):
        project.check_consent("ab")
    project.change("a", name="  Ada  Lovelace ", consent=AGREES)
    project.change("b", name="Drawn", consent=INVENTED, clips=("clips/x.mp4",))
    assert projects.open("pair").consent() == {"a": "Ada Lovelace", "b": "nobody"}
    projects.open("pair").check_consent("ab")
    assert projects.open("pair").persons()["b"].clips == ("clips/x.mp4",)
    project.change("c", name="Third")
    assert list(project.persons()) == ["a", "b", "c"]
    for key, values in [("x", {"name": "X"}), ("a", {"name": " "}), ("a", {"consent": "perhaps"})]:
        with pytest.raises(ConfigError):
            project.change(key, **values)
    (project.folder / "project.toml").write_text("persons = 3")
    with pytest.raises(ConfigError, match=r"project\.toml"):
        projects.open("pair").persons()


def test_takes_clips(project: Project, studio: Studio, tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.mp4"):
        shutil.copy(studio.clips["a"], tmp_path / name)
        project.add_clip(tmp_path / name, "../../../my clip.mp4")
    assert project.clips() == ["clips/my clip.mp4", "clips/my clip_2.mp4"]
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "picture.jpg").write_bytes(b"")
    for name in ("text.mp4", "notes.txt", "picture.jpg"):
        with pytest.raises(MediaError, match=name) as error:
            project.add_clip(tmp_path / name, name)
        assert str(tmp_path) not in error.value.problem
    assert len(project.clips()) == 2


@pytest.mark.parametrize("name", [None, "", [], "../outside.mp4", "/etc/passwd", "clips/\0.mp4", "clips/gone.mp4", {}])
def test_nothing_leads_outside(project: Project, tmp_path: Path, name: Any) -> None:
    (tmp_path / "projects" / "outside.mp4").touch()
    (project.folder / "clips" / "link.mp4").symlink_to(tmp_path / "projects" / "outside.mp4")
    assert project.clips() == []
    for find in (project.clip, project.model):
        with pytest.raises(ConfigError, match=r"no (clip|model)"):
            find(name)


def test_results_have_their_settings_beside_them(project: Project, studio: Studio) -> None:
    clip = Path("ada.mp4")
    out = project.free_result(clip, "Bruno / B", ".mp4", [])
    assert out == project.results / "ada_as_Bruno_B.mp4"
    assert project.free_result(clip, "Bruno / B", ".mp4", [str(out)]).name == "ada_as_Bruno_B_2.mp4"
    shutil.copy(studio.clips["a"], out)
    assert project.finished() == []
    out.with_name("ada_as_Bruno_B.settings.toml").touch()
    assert project.finished() == [out]
    assert project.free_result(Path("ada.png"), "Bruno / B", ".png", []).name == "ada_as_Bruno_B_2.png"
    still = project.results / "still.png"
    still.touch()
    still.with_name("still.settings.toml").touch()
    assert set(project.finished()) == {out, still}


def test_a_demo_is_a_project(projects: Projects, studio: Studio) -> None:
    """`faceswap demo` puts clips and its result at the top of its folder."""
    shutil.copytree(studio.model, projects.folder / "demo" / "model")
    for key, faceset in studio.facesets.items():
        shutil.copytree(faceset, projects.folder / "demo" / "faces" / key)
    for name in ("ada.mp4", "swap.mp4"):
        shutil.copy(studio.clips["a"], projects.folder / "demo" / name)
    (projects.folder / "demo" / "swap.settings.toml").touch()
    demo = projects.open("demo")
    assert (demo.clips(), demo.models(), [path.name for path in demo.finished()]) == (
        ["ada.mp4"],
        ["model"],
        ["swap.mp4"],
    )
    assert backend.model(demo.folder / "model").persons == ("a", "b")
    assert set(backend.losses(demo.folder / "model", {"a": "Ada"})) == {"Ada", "b"}
    assert "<svg" in charts.curves({"<Ada>": [(0, 1.0), (1, 0.5)]}, "minutes")
    shown = backend.before_and_after(demo.clip("ada.mp4"), demo.model("model"), {"to": ["b"]}, 3)
    [((left, top, right, bottom), person)] = shown.faces
    assert person == "b"
    assert 0 < left < right < shown.before.shape[1]
    assert (shown.before != shown.after).any()
    outlined = backend.outlined(shown)
    assert (outlined != shown.before).any()
    inside = slice(round(top) + 40, round(bottom) - 5), slice(round(left) + 40, round(right) - 5)
    assert (outlined[inside] == shown.before[inside]).all()
    stays = backend.before_and_after(demo.clip("ada.mp4"), demo.model("model"), {"map": ["b=a"]}, 3)
    assert [person for _, person in stays.faces] == [None]
    assert np.abs(stays.before.astype(int) - stays.after).mean() < 1  # the mark
    assert np.abs(shown.before.astype(int) - shown.after).mean() > 1
    assert [backend.timecode(demo.clip("ada.mp4"), index) for index in (0, 24, 25, 90_000)] == [
        "00:00:00:00",
        "00:00:00:24",
        "00:00:01:00",
        "01:00:00:00",
    ]


def test_faces_are_rejected_and_taken_back(studio: Studio, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(studio.facesets["a"], folder)
    page = backend.faces(folder, backend.KEPT, "sharpness", True, 0)
    assert len(page.files) == page.total == backend.counts(folder)[0]
    backend.toggle(folder, page.files[0])
    assert backend.faces(folder, backend.REJECTED, "time", False, 0).files == [page.files[0]]
    assert backend.pictures(folder, page.files[:2], "yaw")[0][1] == "✕ by hand"
    backend.toggle(folder, page.files[0])
    assert backend.counts(folder) == (page.total, page.total)
    assert "Took back" in backend.undo(folder)
    assert backend.faces(folder, backend.KEPT, "time", False, 99).files == []
    assert backend.chart(folder).count("<svg") == 6
    with pytest.raises(FaceswapError):
        backend.faces(tmp_path, backend.KEPT, "time", False, 0)


@pytest.mark.parametrize("minutes", [0, -1, None, 1e6])
def test_training_needs_a_time(minutes: float | None) -> None:
    facesets = {"a": Path("a"), "b": Path("b"), "c": Path("c")}
    with pytest.raises(ConfigError, match="minutes"):
        commands.train(facesets, {"a": "Jane Doe"}, Path("m"), commands.Training(minutes=minutes), new=True)
    words = commands.train(
        facesets, {"a": "Jane Doe"}, Path("m"), commands.Training(minutes=minutes, until_plateau=True), new=False
    )
    assert words[:9] == ["train", "--a", "a", "--b", "b", "--person", "c=c", "--consent", "a=Jane Doe"]
    assert "--preset" not in words


@pytest.mark.parametrize("face", ["like=/etc/passwd", "not=/etc/passwd", "like=", "odd", None, ["main"]])
def test_a_preview_looks_at_no_other_file_than_the_clip(
    projects: Projects, project: Project, studio: Studio, tmp_path: Path, face: Any
) -> None:
    shutil.copy(studio.clips["a"], tmp_path / "clip.mp4")
    clip = project.add_clip(tmp_path / "clip.mp4", "clip.mp4")
    (project.folder / "model").mkdir()
    shutil.copy(studio.model / "config.toml", project.folder / "model")
    queue: Any = None  # a preview is no job
    tab = SwapTab(open_desk(projects, queue))
    rest = [None, "light", "band", *[""] * len(KEYS), *[1.0] * len(LOOKS)]
    assert "There is no way to choose a face" in tab._preview._show("pair", 1, True, clip, "model", face, "b", *rest)[2]
    said = tab._preview._show("pair", 1, True, clip, "model", "main", "<b>", *rest)[2]
    assert "There is no person in this model '&lt;b&gt;'" in said


def test_what_cannot_be_shown_is_not_there(project: Project, studio: Studio) -> None:
    for name in ("line\nbreak.mp4", "caf\udce9.mp4", "plain.mp4"):
        shutil.copy(studio.clips["a"], project.folder / "clips" / name)
    assert project.clips() == ["clips/plain.mp4"]


def said(**choices: object) -> dict[str, object]:
    """What the Swap tab says, with its defaults."""
    looks = {name: getattr(SwapConfig(), name) for name, *_ in LOOKS}
    fixed = {"face": "main", "to": "b", "least": None, "colour": "light", "blending": "band"}
    return looks | fixed | {f"map-{key}": "" for key in KEYS} | choices


def test_nobody_can_be_put_in_whom_the_model_does_not_know(project: Project, studio: Studio) -> None:
    """A person who is added to a finished project is not offered, and refused where somebody asks all the same."""
    shutil.copytree(studio.model, project.folder / "model")
    project.change("c", name="Cem")
    assert project.known_to("model") == ("a", "b")
    assert project.known_to("../pair/model") == ()
    for wrong in ({"to": "c"}, {"face": "from:c"}, {"face": "each", "map-a": "c"}, {"face": "each"}):
        with pytest.raises(ConfigError, match=r"person in this model 'c'|everybody stays"):
            wanted_swap(project, "model", said(**wrong))


def test_what_is_chosen_is_what_the_command_says(project: Project, studio: Studio) -> None:
    shutil.copytree(studio.model, project.folder / "model")
    video, model, picture = Path("x.mp4"), Path("m"), Path("x.png")
    each = wanted_swap(project, "model", said(face="each", **{"map-a": "b", "map-b": "a"}, fade=0.5, least=40))
    words = commands.swap(video, model, each)
    assert words[4:] == ["--map", "a=b", "--map", "b=a", "--set", "fade=0.5", "--min-face", "40", *H264]
    part = commands.Swap(first=9, stop=20, mask_out=Path("o_mask.mp4"), label=True)
    assert commands.swap(video, model, part)[4:] == [
        *("--to", "b", "--face", "main", "--label", "--mask-out", "o_mask.mp4", "--frames", "9:20", *H264)
    ]
    assert "--frames" not in commands.swap(picture, model, part)
    with pytest.raises(ConfigError, match="ends before it begins"):
        commands.swap(video, model, commands.Swap(first=20, stop=10))
    assert commands.swap(video, model, wanted_swap(project, "model", said(face="from:a")))[4:6] == ["--map", "a=b"]


def test_faces_are_told_in_words() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    names = {"b": "Bruno"}
    assert faces_in_words([], names) == "No face is found here: it stays as it is."
    assert faces_in_words([(box, "b")], names) == "The face gets that of Bruno."
    assert "1 stays as filmed; 2 gets the face of Bruno" in faces_in_words([(box, None), (box, "b")], names)


@pytest.mark.parametrize("payload", ["a\0", "a\nb", "\ud800", "x" * 5000, ["a\r"], {"path": "\x1b[2J"}, {"\0": 1}])
def test_what_visitors_say_is_text_on_one_line(payload: object) -> None:
    with pytest.raises(ConfigError, match="no text"):
        check_payload(payload)
    check_payload([{"path": "/tmp/a b.mp4", "orig_name": "\u202fÄ\U0001f600.mp4", "size": 3}, None, 1.5])


def test_a_name_is_shown_as_text(projects: Projects, project: Project) -> None:
    project.change("a", name="<b>*x*")
    assert _titled("a", projects.open("pair"), False) == "<h3>&lt;b&gt;*x*</h3>"


def test_what_is_typed_is_checked() -> None:
    assert [number(text) for text in ("3", 2.5, "", None, "x", "nan", "inf", [1])] == [3, 2.5] + [None] * 6
    assert one_of("a", ["a"], "person") == "a"
    for payload in ("b", None, ["a"], 1):
        with pytest.raises(ConfigError, match="no person"):
            one_of(payload, ["a"], "person")
    with pytest.raises(ConfigError, match="8 pixels"):
        commands.extract([Path("x.mp4")], Path("a"), 0, 3)
    with pytest.raises(ConfigError, match="leave out"):
        commands.reject(Path("a"), False, False, None, None)
    assert text_of(ConfigError("<b> is wrong", "Mend it")) == "&lt;b&gt; is wrong. Mend it."


@pytest.mark.parametrize(("similar", "least"), [(0, None), (2.5, None), (0, 40), (1, 12)])
def test_the_options_of_an_extraction_can_be_read_from_its_command(similar: float, least: float | None) -> None:
    words = commands.extract([Path("x.mp4")], Path("a"), similar, least)
    assert commands.extraction_options(words) == (similar or None, least)
