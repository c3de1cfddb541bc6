"""The ids of hits, remembered by the positions of their records.

Tantivy names a hit by where it lies. Its id is a part of the stored document, and to read it, Tantivy takes all of that
apart: for the two hundred hits of an answer that is more work than finding them. The position of the record that a
document comes from is a column, so that those of all hits are read at once, and never becomes that of another document,
so that what is remembered outlives commits and merges.
"""

from collections.abc import Sequence
from typing import Any, Final

import tantivy

from indexer.tantivy.schema import ID, POSITION
from streams.change import Position
from streams.document import DocumentId

REMEMBERED_IDS: Final = 32_768
"""Of one generation; some 8 MB."""

_OFFSET_BITS: Final = 44
_PARTITION_BITS: Final = 20


def packed(position: Position) -> int | None:
    """A position as one number of 64 bits; None beyond a million partitions or 17 trillion records."""
    if position.offset >> _OFFSET_BITS or position.partition >> _PARTITION_BITS:
        return None
    return position.partition << _OFFSET_BITS | position.offset


class HitIds:
    """The ids of a generation's documents; for any number of threads.

    Full, it starts anew: the frequent comes back at once.

    Args:
        limit: how many ids to remember.
    """

    def __init__(self, *, limit: int = REMEMBERED_IDS) -> None:
        self._limit = limit
        self._known: dict[int, DocumentId] = {}

    def of(self, searcher: tantivy.Searcher, addresses: Sequence[tantivy.DocAddress]) -> list[DocumentId]:
        """The ids of the documents at some places of a snapshot, in their order."""
        positions: Sequence[Any] = searcher.fast_field_values(POSITION, list(addresses))  # integers, or None
        return [
            self._known.get(position) or self._read(searcher, address, position)
            for position, address in zip(positions, addresses, strict=True)
        ]

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def _read(self, searcher: tantivy.Searcher, address: tantivy.DocAddress, position: int | None) -> DocumentId:
        name = DocumentId(searcher.doc(address)[ID][0])
        if position is not None:
            if len(self._known) >= self._limit:
                self._known.clear()
            self._known[position] = name
        return name
