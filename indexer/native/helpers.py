"""Threads that help a search that has much text to go through: kernels run without the GIL, and so side by side.

The thread of a search takes parts itself, and waits for none that nobody is at. So where many search at once, and all
helpers are busy, each search goes on as if there were none.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Final, TypeVar

from indexer.resources import usable_processors

_MOST: Final = 3
"""Of helpers: by then it is the memory that is waited for."""

T = TypeVar("T")
R = TypeVar("R")


class Helpers:
    """Threads that wait for work.

    Args:
        threads: how many.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="native-helper")  # begun when asked for

    def map(self, work: Callable[[T], R], parts: Sequence[T]) -> list[R]:
        """What a function gives for each part, in their order; the first error of any ends it.

        Args:
            work: safe for several threads at a time.
            parts: what it is called with.
        """
        results: dict[int, R] = {}
        open_parts = deque(enumerate(parts))

        def take() -> None:
            try:
                while following := _taken(open_parts):
                    place, part = following
                    results[place] = work(part)
            except BaseException:
                open_parts.clear()
                raise

        helping = [self._pool.submit(take) for _ in range(min(self._threads, len(parts) - 1))]
        try:
            take()
        finally:
            begun = [each for each in helping if not each.cancel()]
            wait(begun)
        for each in begun:
            each.result()
        return [results[place] for place in range(len(parts))]

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _taken(open_parts: deque[tuple[int, T]]) -> tuple[int, T] | None:
    """The next part that nobody has taken."""
    try:
        return open_parts.popleft()
    except IndexError:
        return None


@cache
def helpers() -> Helpers:
    """Those of this process: one for each processor that it may use, but the first."""
    return Helpers(min(usable_processors() - 1, _MOST))
