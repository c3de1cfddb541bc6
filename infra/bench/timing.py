"""Times several engines on the same queries in turns, so that whatever disturbs the machine disturbs them alike.

A query is run again only after all the others, so that no engine answers from what it kept of the run before.
"""

import math
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final, Generic, TypeVar

import msgspec

Q = TypeVar("Q")

_MILLISECONDS: Final = 1e3


class Contender(msgspec.Struct, Generic[Q], frozen=True):
    """One engine in a comparison.

    Attributes:
        name: what the report calls it.
        search: answers a query.
        runs: how often each query is run; the first run of several only warms up.
    """

    name: str
    search: Callable[[Q], object]
    runs: int = 4


class Timed(msgspec.Struct, frozen=True):
    """What an engine took and answered, by query.

    Attributes:
        milliseconds: of each query, the median of its timed runs.
        answers: the last answer to each query.
    """

    milliseconds: Sequence[float]
    answers: Sequence[object]


def run_in_turns(
    contenders: Sequence[Contender[Q]], queries: Sequence[Q], *, on_pass: Callable[[float], None]
) -> dict[str, Timed]:
    """Run every query by every engine; one that runs each fewer times than others joins in the last passes.

    Args:
        contenders: the engines, under different names; which one goes first changes with each query.
        queries: what to search for; at least one.
        on_pass: told of the share that is done.
    """
    logs = [_Log(contender) for contender in contenders]
    passes = max(contender.runs for contender in contenders)
    for number in range(passes):
        joining = [log for log in logs if passes - number <= log.contender.runs]
        for place, query in enumerate(queries):
            first = place % len(joining)
            for log in [*joining[first:], *joining[:first]]:
                log.run(query)
            on_pass((number * len(queries) + place + 1) / (passes * len(queries)))
    return {log.contender.name: log.timed(len(queries)) for log in logs}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` percent of the values do not exceed (the nearest-rank definition).

    Args:
        values: at least one.
        percent: over 0, at most 100.
    """
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1]


class _Log(Generic[Q]):
    """What an engine took and answered, run by run, pass after pass."""

    def __init__(self, contender: Contender[Q]) -> None:
        self.contender = contender
        self._milliseconds: list[float] = []
        self._answers: list[object] = []

    def run(self, query: Q) -> None:
        started = time.perf_counter()
        answer = self.contender.search(query)
        self._milliseconds.append((time.perf_counter() - started) * _MILLISECONDS)
        self._answers.append(answer)

    def timed(self, queries: int) -> Timed:
        passes = [self._milliseconds[start : start + queries] for start in range(0, len(self._milliseconds), queries)]
        return Timed([median(times) for times in zip(*(passes[1:] or passes), strict=True)], self._answers[-queries:])
