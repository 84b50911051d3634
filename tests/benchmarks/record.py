"""Figures of the benchmarks as JSON, and the tables that the README of this folder makes of them.

    uv run python tests/benchmarks/memory.py ... --record   # what it prints goes into results/memory.json, too
    uv run python tests/benchmarks/record.py                # writes the tables between the README's markers anew

A pair of markers names one or more results, whose tables come one after another; those of the same columns are one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
README = FOLDER / "README.md"
_BETWEEN_MARKERS = re.compile(r"(?<=<!-- figures: )([\w ]+)( -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # what decides how fast networks are
_LOAD = os.getloadavg()[0]  # before the benchmark adds its own


@dataclass(frozen=True)
class Table:
    """What a benchmark measured."""

    columns: Mapping[str, str]
    """The format of its figures, as `format` takes it, by heading; words are written as they are."""
    rows: Sequence[Sequence[str | float]]

    def __str__(self) -> str:
        """In Markdown."""
        cells = [[_cell(*pair) for pair in zip(row, self.columns.values(), strict=True)] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in [[*self.columns], ["---"] * len(self.columns), *cells])


def _cell(value: str | float, form: str) -> str:
    return value if isinstance(value, str) else format(value, form)


def add_record_option(parser: argparse.ArgumentParser) -> None:
    """`--record [NAME]`, the last of all words; the file's own name if none is given."""
    own = Path(sys.argv[0]).stem
    parser.add_argument("--record", nargs="?", const=own, metavar="NAME", help="last: also write results/NAME.json")


def record(name: str | None, tables: Iterable[Table]) -> None:
    """Keep the tables, with how and where they were measured; nothing, if there is no name."""
    if name is None:
        return
    kept = [{"columns": table.columns, "rows": [[_rounded(v) for v in row] for row in table.rows]} for table in tables]
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(_circumstances() | {"tables": kept}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _rounded(value: str | float) -> str | float:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _circumstances() -> dict[str, Any]:
    """How and where something is measured, without names of folders and hosts."""
    given = sys.argv[1 : sys.argv.index("--record")] if "--record" in sys.argv else sys.argv[1:]
    words = [Path(word).name if Path(word).exists() else word for word in given]
    git = ["git", "-C", str(FOLDER), "describe", "--always", "--dirty=, changed", "--exclude=*"]
    torch = sys.modules.get("torch")
    return {
        "command": shlex.join(["python", f"tests/benchmarks/{Path(sys.argv[0]).name}", *words]),
        "date": time.strftime("%Y-%m-%d"),
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "cores": os.cpu_count(),
        "processor": _processor("model name"),
        "features": [name for name in _FEATURES if name in _processor("flags").split()],
        "gpu": torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None,
        "torch": version("torch"),
        "load": round(_LOAD, 1),
    }


def _processor(key: str) -> str:
    """What Linux says of the first core; elsewhere nothing."""
    file = Path("/proc/cpuinfo")
    found = re.search(rf"^{key}\s*:\s*(.+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return found[1] if found else ""


def rendered(text: str) -> str:
    """The README's text with the tables between its markers as the results say."""
    return _BETWEEN_MARKERS.sub(lambda found: f"{found[1]}{found[2]}{_section(found[1].split())}", text)


def _section(names: Sequence[str]) -> str:
    results = [json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in names]
    tables: list[Table] = []
    for kept in (table for result in results for table in result["tables"]):
        if tables and [*tables[-1].columns.items()] == [*kept["columns"].items()]:
            tables[-1] = Table(kept["columns"], [*tables[-1].rows, *kept["rows"]])
        else:
            tables.append(Table(**kept))
    return "\n".join(f"{block}\n" for block in [*tables, "; ".join(map(_how, results)) + "."])


def _how(result: Mapping[str, Any]) -> str:
    where = result["gpu"] or f"{result['cores']} cores of {result['processor']} ({', '.join(result['features'])})"
    what = f"`{result['command']}`, {result['date']}, commit {result['commit']}, {where}"
    return f"{what}, torch {result['torch']}, load {result['load']}"


if __name__ == "__main__":
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
