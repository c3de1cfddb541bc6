"""The kernel that looks keys up in the sorted dictionary of a segment, where it is mapped."""

from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.compiled import int64, kernel, readable, uint32, uint64, void, writable

ABSENT: Final = -1
"""The place of a key that the segment does not have."""


@kernel(void, readable(uint64), readable(uint32), readable(uint64), writable(int64), writable(int64))
def locate(
    dictionary: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.uint32],
    keys: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int64],
    found: npt.NDArray[np.int64],
) -> None:
    """Look keys up.

    Args:
        dictionary: sorted keys, shape (n,), uint64.
        counts: postings of each, shape (n,), uint32.
        keys: to look up, shape (k,), uint64.
        places: takes the place of each, or `ABSENT`, shape (k,), int64.
        found: takes the postings of each, shape (k,), int64.
    """
    for each in range(len(keys)):
        low, high = 0, len(dictionary)
        while low < high:
            middle = (low + high) // 2
            if dictionary[middle] < keys[each]:
                low = middle + 1
            else:
                high = middle
        here = low < len(dictionary) and dictionary[low] == keys[each]
        places[each] = low if here else ABSENT
        found[each] = counts[low] if here else 0
