"""The pages on autoencoders and on the latent: every command runs, in order, and the Python does, too."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from faceswap.model.folder import load_model
from faceswap_cli.main import app
from faceswap_pipelines.common.devices import pick_device
from support.studio import Studio

DOCS = Path(__file__).parents[2] / "docs"
TINY = (
    ("--steps \\d+", "--steps 2"),
    ("--batch \\d+", "--batch 2 --size 32"),
    ("stacked_steps=\\d+", "stacked_steps=1"),
    ("--count \\d+", "--count 2"),
    ("--rows \\d+", "--rows 2"),
    ("latent probe", "latent probe --seeds 1"),
)


def commands(page: str) -> Iterator[list[str]]:
    """The page's commands in order, with what its variables hold, and with hardly any training."""
    variables: dict[str, str] = {}
    for line in re.findall(r"^    (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE):
        if named := re.fullmatch(r'([A-Z]+)="(.*)"', line):
            variables[named[1]] = named[2]
            continue
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        for pattern, tiny in TINY:
            line = re.sub(pattern, tiny, line)
        program, *words = shlex.split(line, comments=True)
        assert program == "faceswap"
        yield words


@pytest.fixture(scope="module")
def desk(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `faceswap demo` might have worked; its own test is elsewhere."""
    folder = tmp_path_factory.mktemp("course")
    for name, faceset in studio.facesets.items():
        shutil.copytree(faceset, folder / "demo" / "faces" / name)
    shutil.copytree(studio.model, folder / "demo" / "model")
    for clip in studio.clips.values():
        shutil.copy(clip, folder / "demo")
    return folder


def run_all(pages: Iterable[list[str]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Run all commands but the demo, which the folder stands for."""
    monkeypatch.chdir(folder)
    done = [words for words in pages if words[0] != "demo"]
    for words in done:
        outcome = CliRunner().invoke(app, words)
        assert outcome.exit_code == 0, (words, outcome.output)
    return done


def test_the_course_on_autoencoders_runs_from_end_to_end(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_all(commands("autoencoders.md"), desk, monkeypatch)
    models = [words[words.index("--model") + 1] for words in done if words[0] == "train"]
    kinds = [load_model(desk / model, pick_device("cpu")).config for model in models]
    assert {kind.latent for kind in kinds} == {"plain", "sparse", "vae", "vq", "vq2"}
    assert {kind.decoder for kind in kinds} == {"separate", "conditional"}
    assert {words[1] for words in done if words[0] == "latent"} >= {"map", "walk", "spectrum", "cluster", "probe"}
    assert (desk / "demo/bruno_as_ada.mp4").is_file()


def test_the_commands_and_the_python_of_the_latents_page_run(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course = list(commands("autoencoders.md"))
    run_all([words for words in commands("latent.md") if words not in course], desk, monkeypatch)
    made = {path.name for path in (desk / "demo/model/latent").iterdir()}
    assert made >= {"walk.png", "spectrum.png", "sample.png", "morph.mp4", "morph.sheet.png"}

    [code] = re.findall(r"```python\n(.*?)```", (DOCS / "latent.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["as_b"].shape == (8, 256, 256, 3)  # type: ignore[attr-defined]
    assert names["film"].shape == (9, 256, 256, 3)  # type: ignore[attr-defined]


def test_the_pages_are_complete_and_their_pictures_are_small() -> None:
    for page in ("autoencoders.md", "latent.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        pictures = re.findall(r"\]\((pictures/[^)]+)\)", text)
        assert pictures
        assert all((DOCS / picture).stat().st_size < 150_000 for picture in pictures)
        assert not re.search(r"@[A-Z]+@", text)
