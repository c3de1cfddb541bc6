"""Finds the highest rate of searches that the system keeps up with, by short bursts."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from infra.bench.soak.client import Outcome

MOST_LATENCY: Final = 1.0

_P99: Final = 99.0
_KEPT_UP: Final = 0.98
"""A rate is sustained if so much of it was answered by the time the last answer came."""

_CLOSE_ENOUGH: Final = 1.1
"""Between a rate that was sustained and one that was not."""

_MOST_BURSTS: Final = 10


class Burst(msgspec.Struct, frozen=True):
    """One try.

    Attributes:
        rate: searches a second that were sent.
        answered: searches a second that were answered.
        p99: of their latencies, in seconds; None where nothing was answered.
        failed: searches that were not answered.
        partial: answers that lack a method.
        held: whether the system kept up.
    """

    rate: float
    answered: float
    p99: float | None
    failed: int
    partial: int
    held: bool


def highest(bursts: Sequence[Burst]) -> float:
    """The highest rate that was sustained; 0 where none was."""
    return max((burst.rate for burst in bursts if burst.held), default=0.0)


async def search_highest(aim: float, run: Callable[[float], Awaitable[Outcome]]) -> list[Burst]:
    """Try rates, from the aimed one on: twice or half as many until one holds and one does not, then between them.

    It ends with two of them that are close to each other, or with the tenth try.

    Args:
        aim: searches a second.
        run: sends searches at a rate and tells what became of them.
    """
    bursts: list[Burst] = []
    rate = aim
    while len(bursts) < _MOST_BURSTS:
        bursts.append(burst_of(rate, await run(rate)))
        held = highest(bursts)
        missed = min((burst.rate for burst in bursts if not burst.held and burst.rate > held), default=None)
        if missed is None:
            rate = 2 * held
        elif missed <= _CLOSE_ENOUGH * held:
            break
        else:
            rate = (held + missed) / 2
    return bursts


def burst_of(rate: float, outcome: Outcome) -> Burst:
    """What became of a burst: held if all methods answered everything, in time, and no queue grew."""
    p99 = outcome.latencies.percentile(_P99)
    whole = outcome.sent > 0 and outcome.failed == outcome.partial == 0
    held = whole and p99 is not None and p99 < MOST_LATENCY and keeps_up(outcome, rate)
    return Burst(rate, outcome.rate, p99, outcome.failed, outcome.partial, held)


def keeps_up(outcome: Outcome, rate: float) -> bool:
    """Whether answers came as fast as searches went."""
    return outcome.rate >= _KEPT_UP * rate
