"""Whose turn comes next."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from api.access.fair_queue import FairQueue, Waiting

CLIENTS = ("a", "b", "c", "d")

RUNNING = st.dictionaries(st.sampled_from(CLIENTS), st.integers(1, 5))
ARRIVALS = st.lists(st.sampled_from(CLIENTS), max_size=12)


def queue_of(arrivals: list[str], loop: asyncio.AbstractEventLoop) -> FairQueue:
    """Those that wait, in the order in which they came."""
    queue = FairQueue()
    for number, client in enumerate(arrivals):
        queue.add(Waiting(client, number, 0.0, loop.create_future()))
    return queue


@given(RUNNING, ARRIVALS)
def test_the_order_is_the_one_in_which_turns_are_given(running: dict[str, int], arrivals: list[str]) -> None:
    """Of the client of whom the fewest run, and of those of whom as many do, who came first."""
    with asyncio.Runner() as runner:
        queue = queue_of(arrivals, runner.get_loop())
        order = [waiting.number for waiting in queue.in_order(running)]
        counted, waiting, given_in = Counter(running), list(enumerate(arrivals)), list[int]()
        while first := queue.first(counted):
            number, client = min(waiting, key=lambda each: (counted[each[1]], each[0]))
            assert (first.number, first.client) == (number, client)
            queue.remove(first)
            waiting.remove((number, client))
            counted[client] += 1
            given_in.append(number)
        assert order == given_in
        assert (len(queue), sorted(order)) == (0, list(range(len(arrivals))))


@given(RUNNING, ARRIVALS, st.sampled_from(CLIENTS))
def test_how_many_come_before_one_more(running: dict[str, int], arrivals: list[str], client: str) -> None:
    """As many as do when it joins."""
    with asyncio.Runner() as runner:
        before = queue_of(arrivals, runner.get_loop()).before(client, running)
        with_it = queue_of([*arrivals, client], runner.get_loop())
        assert [waiting.number for waiting in with_it.in_order(running)].index(len(arrivals)) == before


@given(ARRIVALS)
def test_room_is_made_by_who_waits_for_the_most(arrivals: list[str]) -> None:
    """By the last of its requests; one that left is found no more."""
    with asyncio.Runner() as runner:
        queue = queue_of(arrivals, runner.get_loop())
        while last := queue.last_of_most():
            counted = Counter(waiting.client for waiting in queue.in_order({}))
            assert counted[last.client] == queue.of(last.client) == max(counted.values())
            assert last.number == max(each.number for each in queue.in_order({}) if each.client == last.client)
            queue.remove(last)
            queue.remove(last)
            assert len(queue) == counted.total() - 1
        assert len(queue) == 0
