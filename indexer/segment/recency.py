"""Which documents of a segment are its newest ones, known once for all who list the newest of all."""

from typing import Final

import numpy as np
import numpy.typing as npt

NEWEST: Final = 1_024
"""Documents of a segment, at most, that are looked at first; pages have ten to a hundred."""


def newest_ordinals(timestamps: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Documents that are newer than all others of their segment: fewer than `NEWEST`, or all if they are no more.

    Args:
        timestamps: by ordinal, shape (documents,).

    Returns:
        ordinals, in their order; none where too many are of the same time.
    """
    if len(timestamps) <= NEWEST:
        return np.arange(len(timestamps), dtype=np.uint32)
    place = len(timestamps) - NEWEST
    return np.flatnonzero(timestamps > np.partition(timestamps, place)[place]).astype(np.uint32)
