"""Making the most of the processor: what a program decides, and a library must not."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # the names of these settings in malloc.h
_LOOK, _BUSY = 0.05, 50.0  # seconds; percent of all cores
_LARGEST_KEPT = 16 << 20  # bytes of a block: what whole 4K frames leave behind would not fit the next ones


def keep_freed_memory() -> None:
    """Have up to a gigabyte of freed memory kept for the next picture instead of given back to the system.

    Networks on a processor allocate and free the same few megabytes for every layer of every picture. glibc gives such
    blocks back each time, and the system clears them anew, which takes as long as the convolutions: without that the
    face mesh runs 1.8 times as fast. For a program to call when it starts; other systems than Linux are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, 1 << 30)
        mallopt(_TOP_PAD, 64 << 20)


def sleep_while_waiting() -> None:
    """On a busy machine, have threads that wait for each other sleep, not spin. To be called before torch is loaded.

    A convolution is shared out among as many threads as there are cores, and each part has to end before the next one
    begins. If another program has taken one core, the threads on the others spin until it gives it back: training all
    but stands still. On a quiet machine spinning is a fifth faster (`tests/benchmarks/busy.py`), so it is looked at how
    busy others keep the processor just now. Whoever sets OMP_WAIT_POLICY themselves is left alone.
    """
    import psutil  # not above: it is needed once

    if "OMP_WAIT_POLICY" not in os.environ and psutil.cpu_percent(interval=_LOOK) > _BUSY:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Inside, torch and OpenCV compute each operation with one thread.

    The layers of small networks are shared out among threads at a loss, and threads that wait for each other by
    spinning stand still together as soon as another program wants a core. Work is better shared out in whole steps.
    """
    import cv2  # not above: the command line imports this module, and has to answer --help at once
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
