"""Numbers by sorted keys, looked up by a kernel in the mapped sections of a segment, page by checked page."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.compiled import int64, kernel, readable, uint8, uint32, uint64, writable
from indexer.segment.pages import is_checked
from indexer.segment.section import Section

ABSENT: Final = -1
"""The place of a key that the segment does not have."""

_FOUND_ALL: Final = -1
_KEY_BYTES: Final = 8
_VALUE_BYTES: Final = 4

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


class Dictionary:
    """A number for each key.

    Args:
        keys: sorted.
        values: that stand beside them.
    """

    def __init__(self, keys: Section[np.uint64], values: Section[np.uint32]) -> None:
        self._pages = keys.pages
        self._sections = (keys.unchecked, values.unchecked, keys.at, values.at, keys.pages.checked)

    def locate(self, keys: Keys) -> tuple[Places, Places]:
        """Look keys up.

        Args:
            keys: shape (k,), uint64.

        Returns:
            the place of each (of several that are equal, the first) or `ABSENT`, and its number; both (k,), int64.

        Raises:
            SegmentDamaged: naming what changed.
        """
        places, found = np.empty((2, len(keys)), np.int64)
        while (unchecked := _locate(*self._sections, keys, places, found)) != _FOUND_ALL:
            self._pages.touch(unchecked, unchecked + 1)
        return places, found


@kernel(
    int64,
    readable(uint64),
    readable(uint32),
    int64,
    int64,
    readable(uint8),
    readable(uint64),
    writable(int64),
    writable(int64),
)
def _locate(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    dictionary: Keys,
    values: npt.NDArray[np.uint32],
    dictionary_at: int,
    values_at: int,
    checked: npt.NDArray[np.uint8],
    keys: Keys,
    places: Places,
    found: Places,
) -> Any:  # noqa: ANN401 - an integer of numba's
    """Look keys up as far as pages are checked; returns the place in the file to check before the next try."""
    for each in range(len(keys)):
        low, high = 0, len(dictionary)
        while low < high:
            middle = (low + high) // 2
            if not is_checked(checked, dictionary_at + middle * _KEY_BYTES):
                return dictionary_at + middle * _KEY_BYTES
            if dictionary[middle] < keys[each]:
                low = middle + 1
            else:
                high = middle
        # The search has compared the key at `low`, unless that is the end.
        here = low < len(dictionary) and dictionary[low] == keys[each]
        if here and not is_checked(checked, values_at + low * _VALUE_BYTES):
            return values_at + low * _VALUE_BYTES
        places[each] = low if here else ABSENT
        found[each] = values[low] if here else 0
    return _FOUND_ALL
