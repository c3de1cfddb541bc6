"""Tells how far a long step is, without a line in the step's own code."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Progress = Callable[[str, float], None]
"""Told of a step's name and how much of it is done, from 0 to 1."""

T = TypeVar("T")


def counted(things: Iterable[T], total: int, step: str, show: Progress) -> Iterator[T]:
    """The things, one by one, each told of when the next one is asked for.

    Args:
        things: to hand on.
        total: how many there are.
        step: name of the step.
        show: told of it.
    """
    show(step, 0.0)
    for done, thing in enumerate(things, 1):
        yield thing
        show(step, done / total)
