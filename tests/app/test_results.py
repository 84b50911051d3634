"""What is said of results and of jobs, in words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from faceswap.config import SwapConfig, to_toml
from faceswap_app import cards
from faceswap_app.jobs import DONE, RUNNING, QueuedJob
from faceswap_app.results import in_words
from faceswap_pipelines.common.protocol import ProgressReport
from faceswap_pipelines.swapping.job import SwapSettings, settings_from
from faceswap_pipelines.swapping.origin import Origin, origin_of, rename_origin, with_origin

NAMES = {"a": "Bruno", "b": "Ada"}


def test_settings_are_told_in_words(tmp_path: Path) -> None:
    file = tmp_path / "x.settings.toml"
    for settings, said in [
        (SwapSettings(), "the one seen most gets the face of Ada; h264"),
        (SwapSettings(face="all", to=("a",)), "everybody gets the face of Bruno; h264"),
        (SwapSettings(map=("a=b", "b=c")), "Bruno gets the face of Ada, Ada gets the face of c; h264"),
        (SwapSettings(look=SwapConfig(opacity=0.5)), "the one seen most gets the face of Ada; opacity 0.5; h264"),
    ]:
        file.write_text(to_toml(settings))
        assert in_words(file, NAMES) == said
    file.write_text("map = 3")
    assert in_words(file, NAMES) == "they cannot be read"


def test_a_result_keeps_what_it_was_made_from(tmp_path: Path) -> None:
    file, origin = tmp_path / "x.settings.toml", Origin(video="ä b.mp4", model="m", steps=7, first=3, stop=9)
    settings = SwapSettings(look=SwapConfig(fade=0.5))
    assert origin_of(file) is None
    file.write_text(to_toml(settings))
    assert origin_of(file) is None  # of a version before
    file.write_text(with_origin(to_toml(settings), origin))
    assert (origin_of(file), settings_from(file, {})) == (origin, settings)
    renamed = dataclasses.replace(origin, video="c.mp4", stop=None)
    rename_origin(file, renamed)
    assert (origin_of(file), settings_from(file, {})) == (renamed, settings)


def test_the_windows_title_says_what_runs_and_how_it_ended() -> None:
    job = QueuedJob(id="0001", project="pair", title="Train <x>", arguments=("train",), status=RUNNING)
    report = ProgressReport(title="Training", done=30, total=60, unit="seconds", note="", seconds=90, first=0)
    assert 'data-title="50 % Train &lt;x&gt;, 2 min left"' in cards.pill(job, report, 0, None)
    ended = dataclasses.replace(job, status=DONE)
    assert 'data-title="Train &lt;x&gt;: done"' in cards.pill(None, None, 0, ended)
    assert 'data-title=""' in cards.pill(None, None, 0, None)
