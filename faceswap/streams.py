"""Looking at the items of a stream together: in batches, or each with its neighbours in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
        del some  # large items: they may go before the next ones come


def time_windows(items: Iterable[T], time: Callable[[T], Fraction], reach: float) -> Iterator[tuple[Sequence[T], int]]:
    """Each item's neighbours up to `reach` seconds before and after it, itself among them, and its place there.

    `time` gives an item's time in seconds; times increase. No more items are held than one window has. The sequence
    is to be used before the next one is asked for.
    """
    window: deque[T] = deque()
    current = 0  # the place in the window of the next item to hand out

    for item in items:
        window.append(item)

        while time(item) - time(window[current]) > reach:
            yield window, current
            current += 1

        while time(window[current]) - time(window[0]) > reach:
            window.popleft()
            current -= 1

    for at in range(current, len(window)):
        yield window, at
