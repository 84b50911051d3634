"""The processes that jobs are: each in a session of its own, so that it outlives the page that has started it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO

import psutil

from faceswap_app.jobs import QueuedJob, process_of

AUTH = "FACESWAP_AUTH"
"""Names, in the page's environment, a name and a password: no job gets to see them."""

_PROGRAM = (sys.executable, "-m", "faceswap_cli")
_GPUS = "CUDA_VISIBLE_DEVICES"


class Processes:
    """Of jobs, whichever page has started them."""

    def __init__(self) -> None:
        self._own: dict[int, subprocess.Popen[bytes]] = {}  # by pid: those that this page has started

    def start(self, job: QueuedJob, environment: Mapping[str, str], *, out: BinaryIO, err: BinaryIO) -> int:
        """Start a job, whose result and errors go into these files; its pid.

        Raises OSError or ValueError if no process can be called so, or there is no memory for it.
        """
        # In a session of its own: Ctrl-C in the page's terminal is not meant for it.
        process = subprocess.Popen(  # noqa: S603  # a list of arguments, none of which is read by a shell
            [*_PROGRAM, *job.words, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,
        )

        self._own[process.pid] = process
        return process.pid

    def alive(self, job: QueuedJob) -> psutil.Process | None:
        """The job's process, if it has not ended."""
        if job.pid in self._own:
            self._own[job.pid].poll()  # takes note of its end: until then it counts as there
        return process_of(job)

    def stop(self, job: QueuedJob) -> None:
        """Have it save and end."""
        process = self.alive(job)
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.terminate()

    def reap(self, job: QueuedJob) -> None:
        """Of a job whose process has ended nothing is left."""
        process = self._own.pop(job.pid, None)
        if process is not None:
            process.wait()


def environment_of(device: int, devices: int) -> dict[str, str]:
    """Of a job on one of so many devices: no password, and of several GPUs its own."""
    environment = {name: value for name, value in os.environ.items() if name != AUTH}
    if devices > 1:
        listed = os.environ.get(_GPUS, "")
        names = listed.split(",") if listed else [str(number) for number in range(devices)]
        environment[_GPUS] = names[min(device, len(names) - 1)]
    return environment
