"""Where the sections of a snapshot lie in memory: a row of numbers for each segment, which is what kernels are given.

So a query is two calls of compiled code, whatever the number of segments; see `indexer.compiled`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import ScoredLists
from indexer.bm25.flags import EVERY, Flags, flags_of
from indexer.bm25.postings import Bm25Contents
from indexer.compiled import fixed_tuple, inlined, int64_at, uint8_at, uint32_at
from indexer.segment.ids import ID_FIELDS, IdRow

Rows = npt.NDArray[np.int64]


class SegmentRow(NamedTuple):
    """A segment; its arrays as addresses, see `indexer.segment.postings` and `indexer.bm25.postings`.

    Attributes:
        documents: how many it holds.
        terms: how many are in its dictionary.
        full_blocks: of all lists.
        packed_words: of all lists.
        keys_at: place of the keys in the file.
        counts_at: place of the counts in the file.
        checked: flag of each page of the file, see `indexer.segment.pages`.
        touched: flag of each list that was checked.
    """

    documents: int
    terms: int
    full_blocks: int
    packed_words: int
    keys_at: int
    counts_at: int
    checked: int
    touched: int
    keys: int
    counts: int
    starts: int
    words: int
    block_starts: int
    block_last: int
    block_words: int
    block_bounds: int
    list_bounds: int
    lengths: int
    id_ranks: int


SEGMENT_FIELDS: Final = len(SegmentRow._fields)


class TableHeader(NamedTuple):
    """The arrays of a table, as addresses, and how many segments it has.

    Attributes:
        segments: how many there are.
        rows: of `SegmentTable`.
        averages: of `SegmentTable`.
        live: of `SegmentTable`, see `SegmentFlags.addresses`.
        ids: of each segment, an `IdRow`.
    """

    segments: int
    rows: int
    averages: int
    live: int
    ids: int


_HEADER_FIELDS: Final = len(TableHeader._fields)


class SegmentFlags(msgspec.Struct, frozen=True):
    """Flags of documents, segment by segment.

    Attributes:
        addresses: of the flags of each segment, or `EVERY`, shape (segments,), int64.
        address: of the first of `addresses`.
        flags: those that there are; kept, since the addresses only refer to them.
    """

    addresses: Rows
    address: int
    flags: Sequence[Flags]


class SegmentTable(msgspec.Struct, frozen=True):
    """The segments of a snapshot.

    Attributes:
        contents: of the segments; kept, since the rest only refers to them.
        rows: as `SegmentRow`, shape (segments, fields), int64.
        averages: average length that the bounds of each were computed with, shape (segments,), float64.
        live: which documents are not deleted.
        ids: of each segment, as `IdRow`, shape (segments, fields), int64.
        header: as `TableHeader`, shape (fields,), int64.
    """

    contents: Sequence[Bm25Contents]
    rows: Rows
    averages: npt.NDArray[np.float64]
    live: SegmentFlags
    ids: Rows
    header: Rows

    def check(self, segment: int, page_at: int, place: int) -> None:
        """Check what a kernel must read next.

        Args:
            segment: by row.
            page_at: place in its file, or -1.
            place: of a list otherwise.

        Raises:
            SegmentDamaged: naming what changed.
        """
        postings = self.contents[segment].postings
        if page_at >= 0:
            postings.mapped.pages.touch(page_at, page_at + 1)
        else:
            postings.touch(place)


def table_of(
    contents: Sequence[Bm25Contents], live: Sequence[npt.NDArray[np.bool_] | None], ids: Sequence[IdRow]
) -> SegmentTable:
    """Make the table of some segments.

    Args:
        contents: of each.
        live: of each, by ordinal, true for documents that are not deleted; None when none is.
        ids: of each.

    Raises:
        SegmentDamaged: naming what changed in what every query reads.
    """
    rows = np.array([_row(each) for each in contents], np.int64).reshape(len(contents), SEGMENT_FIELDS)
    averages = np.array([each.average for each in contents], np.float64)
    id_rows, flags = np.array(ids, np.int64).reshape(len(contents), ID_FIELDS), segment_flags(live)
    addresses = [_address(each) for each in (rows, averages, flags.addresses, id_rows)]
    header = np.array([len(contents), *addresses], np.int64)
    return SegmentTable(contents, rows, averages, flags, id_rows, header)


def segment_flags(documents: Sequence[npt.NDArray[np.bool_] | None]) -> SegmentFlags:
    """Flags of documents, of flags by ordinal in each segment; None for all documents of one."""
    flags = [None if each is None else flags_of(each) for each in documents]
    addresses = np.array([EVERY if each is None else _address(each) for each in flags], np.int64)
    return SegmentFlags(addresses, _address(addresses), [each for each in flags if each is not None])


@inlined
def row_of(rows: Rows, segment: int) -> SegmentRow:
    """The row of a segment."""
    return SegmentRow(*fixed_tuple(rows[segment], SEGMENT_FIELDS))


@inlined
def table_header(address: int) -> TableHeader:
    """The header of a table, at its address."""
    return TableHeader(*fixed_tuple(int64_at(address, _HEADER_FIELDS), _HEADER_FIELDS))


@inlined
def lists_of(row: SegmentRow) -> ScoredLists:
    """The arrays of a segment."""
    return ScoredLists(
        uint32_at(row.words, row.packed_words),
        uint32_at(row.block_last, row.full_blocks),
        uint32_at(row.block_words, row.full_blocks),
        uint8_at(row.block_bounds, row.full_blocks),
        uint32_at(row.lengths, row.documents),
        uint32_at(row.id_ranks, row.documents),
    )


def _row(contents: Bm25Contents) -> SegmentRow:
    lists = contents.postings.mapped
    return SegmentRow(
        documents=len(contents.lengths),
        terms=len(lists.keys),
        full_blocks=len(lists.block_last),
        packed_words=len(lists.words),
        keys_at=lists.keys_at,
        counts_at=lists.counts_at,
        checked=_address(lists.pages.checked),
        touched=_address(lists.touched),
        keys=_address(lists.keys),
        counts=_address(lists.counts),
        starts=_address(lists.starts),
        words=_address(lists.words),
        block_starts=_address(lists.block_starts),
        block_last=_address(lists.block_last),
        block_words=_address(lists.block_words),
        block_bounds=_address(contents.block_bounds),
        list_bounds=_address(contents.list_bounds),
        lengths=_address(contents.lengths),
        id_ranks=_address(contents.id_ranks),
    )


def _address(array: npt.NDArray[np.generic]) -> int:
    return array.ctypes.data
