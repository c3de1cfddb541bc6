"""How many live documents have each term, over all segments: kept by a writer from commit to commit.

A commit that only adds segments costs the counting of these, and a pass over what was counted. Where a segment is
gone, or has lost documents, all are counted anew: what was added of it cannot be read again, since it may be damaged.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from indexer.segment import PostingLists, Segment
from indexer.segment.tombstones import Flags

Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]

C = TypeVar("C")


class TermFrequencies:
    """Counts the documents of each term; for one thread."""

    def __init__(self) -> None:
        self._counted: dict[str, Flags | None] = {}
        self._keys: Keys = np.empty(0, np.uint64)
        self._counts: Counts = np.empty(0, np.int64)

    def of(self, segments: Sequence[tuple[Segment[C], PostingLists]]) -> Mapping[int, int]:
        """Number of distinct terms by document frequency, in live documents.

        Args:
            segments: all there are, each with its lists by term.
        """
        live = {segment.entry.name: segment.live for segment, _ in segments}
        if not all(name in live and _same(flags, live[name]) for name, flags in self._counted.items()):
            self._forget()
        new = [each for each in segments if each[0].entry.name not in self._counted]
        keys, counts = _joined([(lists.keys, lists.lengths(segment.live)) for segment, lists in new])
        self._add(keys, counts)
        self._counted = live
        frequencies = np.bincount(self._counts)
        present = np.flatnonzero(frequencies[1:]) + 1
        return dict(zip(present.tolist(), frequencies[present].tolist(), strict=True))

    def _forget(self) -> None:
        self._counted, self._keys, self._counts = {}, np.empty(0, np.uint64), np.empty(0, np.int64)

    def _add(self, keys: Keys, counts: Counts) -> None:
        """Add what terms count elsewhere; keys are sorted, each once."""
        places = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), np.bool_)
        within = places < len(self._keys)
        known[within] = self._keys[places[within]] == keys[within]
        self._counts[places[known]] += counts[known]
        self._keys = np.insert(self._keys, places[~known], keys[~known])
        self._counts = np.insert(self._counts, places[~known], counts[~known])


def _same(one: Flags | None, other: Flags | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _joined(tables: Sequence[tuple[Keys, Counts]]) -> tuple[Keys, Counts]:
    """The sums of several tables by key."""
    if len(tables) == 1:
        return tables[0]
    keys = np.concatenate([np.empty(0, np.uint64), *(keys for keys, _ in tables)])
    counts = np.concatenate([np.empty(0, np.int64), *(counts for _, counts in tables)])
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.diff(keys[order], prepend=~keys[order][:1]))
    return keys[order][begins], np.add.reduceat(counts[order], begins) if len(begins) else counts
