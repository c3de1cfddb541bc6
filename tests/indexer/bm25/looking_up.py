"""Looks terms up by the kernel, as a query does, and gives what it found in each segment."""

from collections.abc import Sequence

import numpy as np

from indexer.bm25.blocks import LOCATED
from indexer.bm25.lookup import look_up
from indexer.bm25.postings import Bm25Contents
from indexer.bm25.table import SegmentTable, table_of
from indexer.bm25.window import WINDOW_ROOM
from indexer.segment.ids import IdRow


def table_without_ids(contents: Sequence[Bm25Contents], live: Sequence[np.ndarray | None]) -> SegmentTable:
    """A table of segments without documents, for kernels that read no ids."""
    return table_of(contents, live, [IdRow(0, 0, 0, 0, 0)] * len(contents))


def located_terms(table: SegmentTable, keys: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Look terms up in all segments, checking what is read for the first time.

    Returns:
        the terms of each segment, shape (segments, terms, LOCATED), int64; how many live documents have each.
    """
    located = np.empty((len(table.rows), len(keys), LOCATED), np.int64)
    frequencies, unchecked = np.empty(len(keys), np.int64), np.empty(2, np.int64)
    space, segment = np.empty(WINDOW_ROOM, np.int64), 0
    arguments = (keys, located, frequencies, unchecked, space.ctypes.data)
    while (segment := look_up(table.rows, table.live.addresses, segment, *arguments)) < len(located):
        table.check(segment, *unchecked.tolist())
    return located, frequencies.tolist()
