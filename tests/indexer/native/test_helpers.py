"""Helpers take parts of a search, and a search waits for none of them that has not begun."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from indexer.native.helpers import Helpers

PARTS = range(50)
SECONDS = 10.0


@pytest.fixture
def helpers() -> Iterator[Helpers]:
    """Two of them."""
    with closing(Helpers(2)) as two:
        yield two


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_every_part_is_done_once(threads: int, count: int) -> None:
    """Whatever there is to do and whoever does it, the results are in the order of the parts."""
    done: list[int] = []

    def negated(part: int) -> int:
        done.append(part)
        return -part

    with closing(Helpers(threads)) as few:
        assert few.map(negated, range(count)) == [-part for part in range(count)]
    assert sorted(done) == list(range(count))


def test_parts_are_done_side_by_side(helpers: Helpers) -> None:
    """Three threads meet, the one of the search among them."""
    meeting = threading.Barrier(3)

    def meet(part: int) -> str:
        if part < meeting.parties:
            meeting.wait(SECONDS)
        return threading.current_thread().name

    assert threading.current_thread().name in helpers.map(meet, PARTS)


def test_a_search_goes_on_without_helpers_that_are_busy(helpers: Helpers) -> None:
    """It does not wait for the work of others, and nothing of it is left behind for helpers that come later."""
    busy, over = threading.Barrier(4), threading.Event()
    let_go: list[int] = []

    def occupy(part: int) -> None:
        busy.wait(SECONDS)
        over.wait(SECONDS)
        let_go.append(part)

    other = threading.Thread(target=helpers.map, args=(occupy, range(3)))
    other.start()
    try:
        busy.wait(SECONDS)
        names = helpers.map(lambda _part: threading.current_thread().name, PARTS)
        assert set(names) == {threading.current_thread().name}
        assert not let_go
    finally:
        over.set()
        other.join()


@pytest.mark.parametrize("failing", ["the search", "a helper"])
def test_an_error_ends_a_search(helpers: Helpers, failing: str) -> None:
    """Whoever it happens to; when the search has failed, nobody works on its parts any more."""
    here, meeting, failed = threading.current_thread(), threading.Barrier(3), threading.Event()
    begun: list[int] = []
    ended: list[int] = []

    def work(part: int) -> None:
        begun.append(part)
        if part < meeting.parties:
            meeting.wait(SECONDS)
            if (threading.current_thread() is here) == (failing == "the search"):
                failed.set()
                raise ValueError("damaged")
            failed.wait(SECONDS)
            threading.Event().wait(0.05)  # so that whoever does not wait is seen
            ended.append(part)

    with pytest.raises(ValueError, match="damaged"):
        helpers.map(work, range(1_000_000))
    assert len(ended) == (2 if failing == "the search" else 1)
    assert len(begun) < 1_000_000
