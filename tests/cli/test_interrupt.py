"""Ctrl-C before anything has begun: one line and exit code 130, at whatever moment it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faceswap_cli.start import stop

BEGIN = "import sys; from faceswap_cli.start import main; print('here', flush=True); main()"


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("words", [("train", "--a", "x", "--b", "y", "--model", "m"), ("app", "--port", "0")])
def test_start_up_is_left_quietly(words: tuple[str, ...], delay: float, tmp_path: Path) -> None:
    interrupted(words, delay, signal.SIGINT, tmp_path)


def interrupted(words: tuple[str, ...], delay: float, number: signal.Signals, folder: Path) -> int:
    """The exit code of a command that gets a signal so many seconds after it has begun."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", BEGIN, *words]
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(delay)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    if said.startswith("Error: "):  # it was too late: the words are wrong, and that had been said
        assert len(said.splitlines()) == 1, said
        return process.returncode
    assert process.returncode == 130
    assert said.startswith("Stopped; ") or not said
    assert len(said.splitlines()) <= 1, said
    return process.returncode


def test_what_is_being_done_is_interrupted_as_ever() -> None:
    with pytest.raises(KeyboardInterrupt):
        stop(signal.SIGINT, sys._getframe())
