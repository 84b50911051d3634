"""What an installation brings, and what importing it does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built as a publisher would."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = os.environ.get("UV", "uv")  # `uv run` says where it lies
    built = subprocess.run(
        [uv, "build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT)], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_brings_four_packages_and_nothing_else(wheel: Path, tmp_path: Path) -> None:
    uv = os.environ.get("UV", "uv")
    target = tmp_path / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(target)], check=True)
    python = target / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(install, check=True)
    script = "import sysconfig, pathlib; print(sysconfig.get_path('purelib'))"
    purelib = Path(subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout.strip())
    names = {p.name for p in purelib.iterdir() if not p.name.startswith("_") and p.suffix not in (".dist-info", ".pth")}
    assert names == {"faceswap", "faceswap_pipelines", "faceswap_app", "faceswap_cli"}


def test_the_wheel_carries_the_weights_that_its_manifest_lists(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        manifest = tomllib.loads(archive.read("faceswap/_weights/manifest.toml").decode())
    for entry in manifest.values():
        assert f"faceswap/_weights/{entry['file']}" in names


def test_help_is_quick_to_import_and_the_library_is_quiet() -> None:
    """`faceswap --help` loads no torch; importing the library prints nothing and seeds nothing."""
    script = (
        "import sys, faceswap_cli.main\n"
        "heavy = {'torch', 'gradio', 'cv2', 'av', 'albumentations'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    script = (
        "import random, numpy, torch\n"
        "before = random.getstate(), torch.random.get_rng_state().tolist()\n"
        "import faceswap.training.step, faceswap.training.checkpoint, faceswap.swapping.infer\n"
        "assert before == (random.getstate(), torch.random.get_rng_state().tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_links_in_the_documents_lead_somewhere() -> None:
    documents = [
        ROOT / "README.md",
        *(path for name in ("docs", "weights", "tests") for path in ROOT.glob(f"{name}/**/*.md")),
    ]
    links = [
        (document, link)
        for document in documents
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    ]
    assert len(links) > 10
    assert not [(document.name, link) for document, link in links if not (document.parent / link).exists()]
