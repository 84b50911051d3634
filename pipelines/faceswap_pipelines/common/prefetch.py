"""Plumbing between the steps of a job: work ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")


def depth_for(width: int, height: int) -> int:
    """How many RGB pictures of this size to make in advance: at most 8, and 50 megabytes of large ones; none of those
    that are larger than 4K by far."""
    return min(8, 17_000_000 // (width * height))


def batch_for(width: int, height: int, most: int) -> int:
    """How many RGB pictures of this size to look at together: at most so many, and 150 megabytes of large ones."""
    return max(1, min(most, 50_000_000 // (width * height)))


def prefetch(items: Iterable[T], depth: int = 8) -> Generator[T, None, None]:
    """The same items, made in a thread of their own up to `depth` in advance; with 0, each when it is asked for.

    An exception in `items` comes out here, after the items before it. Closing this generator ends the thread
    and closes `items`.
    """
    if depth == 0:
        yield from items
        return

    ready: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue()
    room = threading.Semaphore(depth)  # taken before an item is made: large ones are not to wait for a place
    stopped = False

    def work() -> None:
        iterator = iter(items)
        try:
            while room.acquire() and not stopped:
                try:
                    ready.put(("item", next(iterator)))
                except StopIteration:
                    ready.put(("end", None))
                    return
        except BaseException as error:
            ready.put(("error", error))
        finally:
            if close := getattr(iterator, "close", None):
                close()

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()

    try:
        while True:
            kind, value = ready.get()
            if kind == "item":
                room.release()
                yield value  # type: ignore[misc]  # "item" comes with a T
                del value  # it may go before the next one comes
            elif isinstance(value, BaseException):
                raise value
            else:
                return
    finally:
        stopped = True
        room.release()
        thread.join()
