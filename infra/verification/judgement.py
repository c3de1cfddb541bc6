"""What an index holds of some documents, judged by what the topic says of them.

An index is a view of the topic as far as its watermark. Its snapshot was taken first, and the topic read afterwards,
so a document with any record at or behind the watermark may have changed since: it is *changing*, and not judged.
That also covers compaction, which may take the version that the snapshot has, but never without such a record. (The
topic is read in two passes, the second for what came during the first. A record could escape both only if it were
replaced and compacted away within the moments of the second, and Kafka never compacts the segment it writes to.)

All other documents have been still, and the newest record of each decides:

    missing     the topic has the document, the index does not
    stale       the index has an older version
    extra       the index has a document that was deleted or never was, or a second copy
    different   the index has the right position and another content, or a version that the topic does not know

Versions in different partitions have no order but that of their arrival, which nobody knows any more: of a document
with records in several, the newest of each may be what the index has. A document whose newest record was *refused*
(it cannot be read, or this index has dead-lettered it) may be absent, or there in an older version.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]
"""Of the type `ROW`."""

ROW: Final = np.dtype(
    [
        ("high", "<u8"),  # 128 bits of BLAKE2b of the id
        ("low", "<u8"),
        ("offset", "<i8"),
        ("content", "<u8"),  # see `indexer.dump.content_hash`
        ("place", "<u8"),  # of the id, see `Spill.id_at`
        ("partition", "<i4"),
        ("kind", "<i4"),
    ]
)

NO_OFFSET: Final = -1

_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.int64]


class Kind(IntEnum):
    """What a record means."""

    UPSERT = 0
    TOMBSTONE = 1
    UNREADABLE = 2


class Found(NamedTuple):
    """Faults of one class.

    Attributes:
        rows: the documents: rows of the index, or of the topic for those that are missing.
        indexed: the offset that the index has, `NO_OFFSET` where it has none, int64.
        topic: the newest offset in the same partition, `NO_OFFSET` where there is none, int64.
    """

    rows: Rows
    indexed: _Numbers
    topic: _Numbers


class Judgement(NamedTuple):
    """What was found in one part.

    Attributes:
        missing: documents of the topic that the index lacks.
        stale: documents that it has in an older version.
        extra: documents that it should not have, or has twice.
        different: documents that it has with another content.
        changing: how many documents were not judged, because they have records behind the watermark.
        refused: how many have a newest record that was refused.
    """

    missing: Found
    stale: Found
    extra: Found
    different: Found
    changing: int
    refused: int


def newest_versions(rows: Rows) -> Rows:
    """The row with the largest offset of each document in each partition, in the order of hash and partition."""
    rows = rows[np.lexsort((rows["offset"], rows["partition"], rows["low"], rows["high"]))]
    last = np.ones(len(rows), np.bool_)
    last[:-1] = _differs(rows, "high") | _differs(rows, "low") | _differs(rows, "partition")
    return rows[last]


def judge(topic: Rows, indexed: Rows, refused: Rows, watermark: Mapping[int, int]) -> Judgement:
    """Judge the rows of one part.

    Args:
        topic: its records, the newest of each document and partition among them.
        indexed: what the index holds.
        refused: positions that the index has dead-lettered.
        watermark: of the index: next offset by partition.
    """
    topic = newest_versions(topic)
    groups = _Groups(topic, indexed, refused)
    codes = _codes(groups.topic, topic)
    changing = groups.any(groups.topic, topic["offset"] >= _read_to(topic, watermark))
    excused = groups.any(groups.topic, topic["kind"] == Kind.UNREADABLE)
    excused |= groups.any(groups.refused, _offsets(topic, _find(codes, groups.refused, refused)) == refused["offset"])
    alive = groups.any(groups.topic, topic["kind"] == Kind.UPSERT)
    may_be_absent = groups.any(groups.topic, topic["kind"] == Kind.TOMBSTONE) | excused
    present = groups.any(groups.indexed, np.ones(len(indexed), np.bool_))

    found = _find(codes, groups.indexed, indexed)
    offsets = _offsets(topic, found)
    older = indexed["offset"] < offsets
    judged = ~changing[groups.indexed] & ~(excused[groups.indexed] & older)
    extra = judged & ~alive[groups.indexed] | _copies(groups.indexed, indexed) & ~changing[groups.indexed]
    stale = judged & ~extra & older
    different = judged & ~extra & ~older & ~_equal(topic, found, indexed)
    lacking = ~may_be_absent & ~present & ~changing
    lost = topic[groups.last_of_each(groups.topic) & lacking[groups.topic]]
    stale_rows, extra_rows, different_rows = (
        Found(indexed[each], indexed["offset"][each], offsets[each]) for each in (stale, extra, different)
    )
    return Judgement(
        missing=Found(lost, np.full(len(lost), NO_OFFSET, np.int64), lost["offset"]),
        stale=stale_rows,
        extra=extra_rows,
        different=different_rows,
        changing=int(np.count_nonzero(changing)),
        refused=int(np.count_nonzero(excused & ~changing)),
    )


class _Groups:
    """Numbers the documents, in the order of their hashes, and says of each row which it is about."""

    def __init__(self, *sources: Rows) -> None:
        high = np.concatenate([rows["high"] for rows in sources])
        low = np.concatenate([rows["low"] for rows in sources])
        order = np.lexsort((low, high))
        numbers = np.zeros(len(high), np.int64)
        first = np.ones(len(high), np.bool_)
        first[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
        numbers[order] = np.cumsum(first) - 1
        self._count = int(np.count_nonzero(first))
        ends = np.cumsum([len(rows) for rows in sources])
        self.topic, self.indexed, self.refused = np.split(numbers, ends[:-1])

    def any(self, numbers: _Numbers, flags: _Flags) -> _Flags:
        """For each document, whether a flag of any of its rows is set."""
        result = np.zeros(self._count, np.bool_)
        result[numbers[flags]] = True
        return result

    def last_of_each(self, numbers: _Numbers) -> _Flags:
        """Flags the last row of each document, of rows in the order of documents."""
        last = np.ones(len(numbers), np.bool_)
        last[:-1] = np.diff(numbers) != 0
        return last


def _differs(rows: Rows, field: str) -> _Flags:
    """Whether each row has another value than the one behind it."""
    return np.asarray(rows[field][1:] != rows[field][:-1])


def _read_to(topic: Rows, watermark: Mapping[int, int]) -> _Numbers:
    partitions, where = np.unique(topic["partition"], return_inverse=True)
    return np.array([watermark.get(p, 0) for p in partitions.tolist()], np.int64)[where]


def _codes(numbers: _Numbers, rows: Rows) -> _Numbers:
    """Document and partition in one number, in the order of both."""
    return (numbers << 32) | (rows["partition"].astype(np.int64) & 0xFFFF_FFFF)


def _find(codes: _Numbers, numbers: _Numbers, rows: Rows) -> _Numbers:
    """The place in sorted codes of each row's document and partition; -1 where it has none."""
    wanted = _codes(numbers, rows)
    places = np.searchsorted(codes, wanted)
    inside = places < len(codes)
    places[~inside] = 0
    there = inside & (codes[places] == wanted) if len(codes) else inside
    return np.where(there, places, -1)


def _offsets(topic: Rows, found: _Numbers) -> _Numbers:
    """The offset of each topic row that was found, else `NO_OFFSET`."""
    return np.where(found >= 0, _at(topic["offset"], found), NO_OFFSET)


def _equal(topic: Rows, found: _Numbers, indexed: Rows) -> _Flags:
    """Whether each row of an index is exactly what the topic says."""
    version = (_offsets(topic, found) == indexed["offset"]) & (_at(topic["kind"], found) == Kind.UPSERT)
    return np.asarray(version & (_at(topic["content"], found) == indexed["content"]))


def _at(values: npt.NDArray[Any], places: _Numbers) -> npt.NDArray[Any]:
    """Values at places; anything at -1."""
    return values[places] if len(values) else np.zeros(len(places), values.dtype)


def _copies(numbers: _Numbers, indexed: Rows) -> _Flags:
    """Flags all but the newest row of each document."""
    order = np.lexsort((-indexed["offset"], numbers))
    copies = np.zeros(len(numbers), np.bool_)
    copies[order[1:]] = np.diff(numbers[order]) == 0
    return copies
