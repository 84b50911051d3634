"""How large what the commands read may be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceswap.media.limits import MAX_PIXELS
from support.commands import command


def test_the_flag_says_how_large_a_picture_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAX_PIXELS, "")  # put back afterwards
    Image.fromarray(np.full((1200, 1000, 3), 90, np.uint8)).save(tmp_path / "a.png")

    result = command("verify", tmp_path / "a.png", "--max-pixels", 1, "--json")
    assert "too large (1000x1200 pixels)" in json.loads(result.stdout)[0]["problem"]
    assert result.exit_code == 3

    result = command("verify", tmp_path / "a.png", "--max-pixels", 2, "--json")
    assert json.loads(result.stdout)[0]["problem"] == ""
    assert result.exit_code == 0
