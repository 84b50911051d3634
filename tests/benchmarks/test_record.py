"""The README's tables are those that the results make, and what is recorded is what was measured."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks import record

TEXT = "Before.\n\n<!-- figures: one two -->\nold\n<!-- end of figures -->\n\nBehind.\n"


def test_the_readme_is_what_the_results_make() -> None:
    text = record.README.read_text(encoding="utf-8")
    assert record.rendered(text) == text, "run: python tests/benchmarks/record.py"
    shown = {name for names in re.findall(r"<!-- figures: ([\w ]+) -->", text) for name in names.split()}
    assert shown == {path.stem for path in record.RESULTS.glob("*.json")}


def test_what_is_recorded_comes_out_between_the_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.mp4"
    clip.touch()
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "fast.py"), str(clip), "--frames", "3", "--record", "one"])
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--frames")
    record.add_record_option(parser)

    columns = {"what": "", "frames/s": ".1f"}
    record.record(parser.parse_args().record, [record.Table(columns, [["512", 23.456]])])
    record.record("two", [record.Table(columns, [["1080", 7.0]]), record.Table({"else": "d"}, [[1]])])
    record.record(None, [])

    kept = json.loads((tmp_path / "results" / "one.json").read_text())
    assert kept["command"] == "python tests/benchmarks/fast.py clip.mp4 --frames 3"  # no folder is named
    made = record.rendered(TEXT)
    assert made.startswith("Before.\n\n<!-- figures: one two -->\n| what | frames/s |\n| --- | --- |\n| 512 | 23.5 |\n")
    assert "| 1080 | 7.0 |\n\n| else |\n| --- |\n| 1 |\n\n`python " in made
    assert made.endswith(".\n<!-- end of figures -->\n\nBehind.\n")
    assert record.rendered(made) == made
