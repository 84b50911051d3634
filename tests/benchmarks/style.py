"""How airy and how dense the code is, from its syntax trees.

    uv run python tests/benchmarks/style.py [FOLDER ...]

Prints, for each folder and for all of them:

- functions of 15 and more code lines without one blank line in their bodies, of all of that length;
- blank lines per 10 code lines, both inside functions (docstrings are neither);
- nodes of the syntax tree per statement, without operators and contexts;
- calls with six and more positional arguments, of all calls.

Complexity and counts of arguments are guarded by ruff: see pyproject.toml.
"""

from __future__ import annotations

import argparse
import ast
from dataclasses import dataclass
from pathlib import Path

from record import Table, add_record_option, record

LONG = 15  # code lines
MANY = 6  # positional arguments

Function = ast.FunctionDef | ast.AsyncFunctionDef
COLUMNS = {
    "": "",
    "long functions without air": ".0%",
    "blank lines per 10 code lines": ".2f",
    "nodes per statement": ".2f",
    "calls with 6 and more by position": ".2%",
}
_UNCOUNTED = (ast.expr_context, ast.operator, ast.cmpop, ast.boolop, ast.unaryop)


@dataclass(kw_only=True)
class Figures:
    """Counts, which add up over files."""

    long: int = 0
    airless: int = 0
    blank: int = 0
    code: int = 0
    nodes: int = 0
    statements: int = 0
    calls: int = 0
    long_calls: int = 0

    def add(self, file: Path) -> None:
        """Counts what `file` holds."""
        text = file.read_text(encoding="utf-8")
        tree, lines = ast.parse(text), text.splitlines()
        for node in ast.walk(tree):
            self.nodes += not isinstance(node, _UNCOUNTED)
            self.statements += isinstance(node, ast.stmt)
            if isinstance(node, ast.Call):
                self.calls += 1
                self.long_calls += len(node.args) >= MANY
        for function in outermost(tree):
            self._add_function(function, lines)

    def _add_function(self, function: Function, lines: list[str]) -> None:
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        if not body:
            return
        inside = lines[body[0].lineno - 1 : body[-1].end_lineno]
        blank = sum(not line.strip() for line in inside)
        code = len(inside) - blank
        self.blank += blank
        self.code += code
        if code >= LONG:
            self.long += 1
            self.airless += blank == 0

    def row(self, name: str) -> list[str | float]:
        """As `COLUMNS` has it."""
        return [
            name,
            self.airless / max(1, self.long),
            10 * self.blank / max(1, self.code),
            self.nodes / max(1, self.statements),
            self.long_calls / max(1, self.calls),
        ]


def outermost(tree: ast.AST) -> list[Function]:
    """Functions and methods that lie in no other function."""
    found: list[Function] = []
    for node in ast.iter_child_nodes(tree):
        found += [node] if isinstance(node, Function) else outermost(node)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("faceswap"), Path("pipelines"), Path("app")])
    add_record_option(parser)
    arguments = parser.parse_args()

    everything, rows = Figures(), []
    for folder in arguments.folders:
        figures = Figures()
        for file in sorted(folder.rglob("*.py")):
            figures.add(file)
            everything.add(file)
        rows.append(figures.row(folder.name))

    table = Table(COLUMNS, [*rows, everything.row("all")])
    print(table)
    record(arguments.record, [table])


if __name__ == "__main__":
    main()
