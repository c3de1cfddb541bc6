"""The ids of hits, remembered for as long as their snapshot is asked.

Tantivy names a hit by where it lies. Its id is a part of the stored document, and to read it, Tantivy takes all of that
apart: for the hundred hits of an answer that is more work than finding them.
"""

from typing import Final

import tantivy

from indexer.tantivy.schema import ID

REMEMBERED_IDS: Final = 16_384
"""Of one snapshot; some 4 MB."""

_SEGMENT_BITS: Final = 32


class HitIds:
    """The ids of a snapshot's documents; for any number of threads.

    Full, it starts anew: the frequent comes back at once.

    Args:
        searcher: the snapshot; where a document lies in it never changes.
        limit: how many ids to remember.
    """

    def __init__(self, searcher: tantivy.Searcher, *, limit: int = REMEMBERED_IDS) -> None:
        self._searcher = searcher
        self._limit = limit
        self._known: dict[int, str] = {}

    def __getitem__(self, address: tantivy.DocAddress) -> str:
        """The id of the document at a place."""
        place = address.segment_ord << _SEGMENT_BITS | address.doc
        known = self._known.get(place)
        if known is None:
            known = str(self._searcher.doc(address)[ID][0])
            if len(self._known) >= self._limit:
                self._known.clear()
            self._known[place] = known
        return known

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)
