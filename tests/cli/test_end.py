"""The end of a command: at once when its result is printed, with the exit code that it has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Something that is never done, as a library may leave behind: Python itself would wait for it.
LASTING = """
import sys, threading, time
from faceswap_cli.start import main
threading.Thread(target=time.sleep, args=(3600,)).start()
main()
"""


@pytest.mark.parametrize(("words", "code", "said"), [(("--version",), 0, "."), (("faces", "nonsense"), 2, "nonsense")])
def test_nothing_that_is_left_behind_keeps_a_command(words: tuple[str, ...], code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LASTING, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


UNHEARD = (
    "import sys; from faceswap_pipelines.common.protocol import end_process; sys.stdout.write('x'); end_process(0)"
)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_result_that_nobody_hears_is_no_success() -> None:
    with Path("/dev/full").open("w", encoding="ascii") as full:
        buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
        done = subprocess.run([sys.executable, "-c", UNHEARD], stdout=full, env=buffered, timeout=120, check=False)
    assert done.returncode == 120
