"""Files that are whole at every moment, and what killed processes leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from faceswap.errors import ModelError
from faceswap.files import replaced, sweep
from faceswap.model.folder import checkpoints
from faceswap.model.identities import identity_file, read_identities


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("before")
    with pytest.raises(RuntimeError), replaced(file) as fresh:
        fresh.write_text("half")
        raise RuntimeError
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_what_killed_processes_began_is_swept_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left, other = f".out.mp4.{int(gone.stdout)}.part", f".out2.mp4.{int(gone.stdout)}.part"
    names = [left, other, f".out.mp4.{os.getpid()}.part", ".other.part", "out.mp4"]
    for name in names:
        (tmp_path / name).touch()
    sweep(tmp_path, "another")
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    sweep(tmp_path, "out")
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])


def test_a_folder_that_cannot_be_read_is_not_one_without_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoint").mkdir()
    assert checkpoints(tmp_path) == []

    def refuse(_folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoints(tmp_path)


@pytest.mark.parametrize("damage", ["short", "nan"])
def test_persons_that_describe_nobody_are_damage(damage: str, tmp_path: Path) -> None:
    identity = np.zeros(64) if damage == "short" else np.full(128, np.nan)
    save_file({"a": identity}, identity_file(tmp_path))
    with pytest.raises(ModelError, match="describe nobody"):
        read_identities(tmp_path)
