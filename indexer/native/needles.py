"""Several literals, searched for at once: where the first of any of them begins.

Each is looked for in a few blocks at a time, no further than where another was found already.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np

from indexer.compiled import inlined, int64, readable, record, uint8
from indexer.native.literal import Needle, find
from indexer.native.tallies import Bytes, Numbers

_CHUNK: Final = 2_048


class Needles(NamedTuple):
    """At least one literal, as the kernels take them.

    Attributes:
        values: as in `Needle`, one after another, uint8.
        masks: likewise.
        starts: where each begins, and the end of the last, shape (n + 1,), int64.
        rare_places: of the three rarest bytes in each, shape (3 * n,), int64.
    """

    values: Bytes
    masks: Bytes
    starts: Numbers
    rare_places: Numbers

    @classmethod
    def of(cls, needles: Sequence[Needle]) -> Self:
        """Literals that hold no newline."""
        arrays = (
            np.concatenate([each.values for each in needles]),
            np.concatenate([each.masks for each in needles]),
            np.cumsum([0, *(len(each.values) for each in needles)]),
            np.array([(each.first_place, each.second_place, each.third_place) for each in needles], np.int64).ravel(),
        )
        for array in arrays:
            array.setflags(write=False)  # kernels tell arrays by whether they may be written to
        return cls(*arrays)


NEEDLES: Final = record(Needles, readable(uint8), readable(uint8), readable(int64), readable(int64))
"""The type of it, for the kernels that take it."""


@inlined
def _needle(needles: Needles, number: int) -> Needle:
    start, end = needles.starts[number], needles.starts[number + 1]
    rare = needles.rare_places
    return Needle(
        needles.values[start:end],
        needles.masks[start:end],
        rare[3 * number],
        rare[3 * number + 1],
        rare[3 * number + 2],
        False,  # noqa: FBT003 - kernels have no keyword arguments
    )


@inlined
def find_any(text: Bytes, at: int, end: int, needles: Needles) -> Any:  # noqa: ANN401 - an integer of numba's
    """For kernels: where the first match begins from `at` to before `end`; the length of the text when none does."""
    while at < end:
        stop = min(at + _CHUNK, end)
        first = stop
        for number in range(len(needles.starts) - 1):
            first = min(first, find(text, at, first, _needle(needles, number)))
        if first < stop:
            return first
        at = stop
    return len(text)
