"""A process of a batch: it says where it is, and ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

WORKER = """
import signal, sys, threading, time
from multiprocessing import Pipe
from faceswap_pipelines.batching.worker import work

ours, theirs = Pipe()
theirs.send("what the parent never reads")


def leave():
    while signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        time.sleep(0.02)
    print("works", flush=True)
    sys.stdin.readline()
    ours.close()


threading.Thread(target=leave).start()
work(theirs, "cpu", 1)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGUSR1")
def test_it_says_where_it_is_and_ends_with_its_parent() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WORKER], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stderr is not None
        assert worker.stdout.readline() == "works\n"
        worker.send_signal(signal.SIGUSR1)

        said = ""
        while "in work" not in said and (line := worker.stderr.readline()):
            said += line
        assert "Current thread" in said

        _, rest = worker.communicate("\n", timeout=60)
    assert worker.returncode == 0, rest
    assert "Error" not in rest
