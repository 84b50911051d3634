"""Laws of reading ahead: the same items in the same order, no more than asked for, and no thread left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from faceswap_pipelines.common.prefetch import depth_for, prefetch


class Counted:
    """Items that say how many of them have been made, and whether they were closed."""

    def __init__(self, count: int, fail_at: int | None = None) -> None:
        self.made, self.closed, self._count, self._fail_at = 0, False, count, fail_at

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self._count):
                if number == self._fail_at:
                    raise ValueError("broken")
                self.made += 1
                yield number
        finally:
            self.closed = True


@pytest.mark.parametrize("depth", [0, 1, 3])
class TestPrefetch:
    def test_all_items_come_in_order(self, depth: int) -> None:
        assert list(prefetch(Counted(50), depth)) == list(range(50))

    def test_no_more_are_made_in_advance(self, depth: int) -> None:
        items = Counted(50)
        ahead = prefetch(items, depth)
        for taken in range(1, 6):
            next(ahead)
            time.sleep(0.02)  # time enough to make too many
            assert items.made <= taken + depth
        ahead.close()

    def test_an_error_comes_after_the_items_before_it(self, depth: int) -> None:
        ahead = prefetch(Counted(9, fail_at=4), depth)
        assert [next(ahead) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(ValueError, match="broken"):
            next(ahead)

    def test_closing_ends_the_thread_and_closes_the_items(self, depth: int) -> None:
        before, items = threading.active_count(), Counted(50)
        ahead = prefetch(items, depth)
        next(ahead)
        ahead.close()
        assert threading.active_count() == before
        assert items.closed


def test_frames_of_8k_are_not_read_ahead() -> None:
    assert [depth_for(*size) for size in ((512, 512), (1920, 1080), (3840, 2160), (7680, 4320))] == [8, 8, 2, 0]


ABANDONED = """
import itertools, sys, time
from faceswap_pipelines.common.prefetch import prefetch

def slow():
    for number in itertools.count():
        time.sleep(0.05)
        yield number

sys.kept = prefetch(slow(), 2)  # until the very end
next(sys.kept)
print("done", flush=True)
"""


def test_a_reader_that_nobody_has_closed_does_not_keep_the_program() -> None:
    done = subprocess.run([sys.executable, "-c", ABANDONED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "done\n"
    assert done.stderr == ""
