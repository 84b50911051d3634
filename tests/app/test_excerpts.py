"""Some seconds of a clip, played before the whole is swapped: one for each visitor, and nothing left of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceswap_app.excerpts import Excerpts


def test_each_visitor_has_one_and_none_can_be_guessed(tmp_path: Path) -> None:
    excerpts = Excerpts(tmp_path)
    first = excerpts.make("ada", lambda out: out.touch())
    other = excerpts.make("bruno", lambda out: out.touch())
    second = excerpts.make("ada", lambda out: out.touch())
    assert [path.is_file() for path in (first, other, second)] == [False, True, True]
    assert all(len(path.parent.name) > 32 for path in (first, other, second))

    def fails(out: Path) -> None:
        out.touch()
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        excerpts.make("ada", fails)
    assert list(tmp_path.rglob("*.mp4")) == [other]

    (tmp_path / ".uploads" / "sent").mkdir()
    Excerpts(tmp_path).sweep()
    assert [path.name for path in (tmp_path / ".uploads").iterdir()] == ["sent"]
