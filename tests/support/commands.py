"""The commands, called in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from faceswap_cli.main import app


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(result: Result, *parts: str, code: int = 3) -> None:
    """Exit code 3 and one line on stderr that says what is wrong and what to do; no traceback."""
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


def misused(result: Result, *parts: str) -> None:
    """The same with exit code 2."""
    refused(result, *parts, code=2)
