"""The kernel that answers a query in one call: it looks the terms up, weighs them, ranks, and reads the ids.

For a query of few documents a call costs as much as the search, and what Python does between two calls costs more than
it does alone, since a kernel leaves the caches of the processor to its own data.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import LOCATED
from indexer.bm25.lookup import NOTHING, look_up
from indexer.bm25.table import SEGMENT_FIELDS, Rows, table_header
from indexer.bm25.topk import HIT_COLUMNS, HIT_ORDINAL, HIT_SCORE, HIT_SEGMENT, best_documents, room_for
from indexer.compiled import (
    float64,
    float64_at,
    inlined,
    int64,
    int64_at,
    kernel,
    part,
    readable,
    signed,
    uint8,
    uint8_at,
    uint64,
    uint64_at,
    writable,
)
from indexer.segment.ids import START_BYTES, id_row
from indexer.segment.pages import flags_at, unchecked_place

FINISHED: Final = 0
"""All is done."""

UNCHECKED: Final = 1
"""Something is to be checked before the next call: see `State`."""

LATER: Final = 2
"""There are more segments, and it is time to look at the clock."""

TOO_LONG: Final = 3
"""The ids need more room."""

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


class State(NamedTuple):
    """Where the places of `state` are.

    Attributes:
        found: hits so far.
        total: matches so far.
        page: what is to be checked, see `SegmentTable.check`.
        place: the same.
        checked_in: segment of it.
        looked_up: segments in which the terms were looked up.
        searched: segments that were searched.
        named: hits whose ids were measured.
        id_bytes: of all these.
    """

    found: int = 0
    total: int = 1
    page: int = 2
    place: int = 3
    checked_in: int = 4
    looked_up: int = 5
    searched: int = 6
    named: int = 7
    id_bytes: int = 8


AT: Final = State()
STATES: Final = len(AT)

_OUT_SCORE: Final = 0
_OUT_ID_END: Final = 1
HIT_FIELDS: Final = 2
"""Numbers that a hit is given as: its score in units, negated to sort by, and where its id ends in the text of them."""


@inlined
def _weigh(frequencies: Numbers, times: Reals, documents: float, floor: float, weights: Reals) -> bool:
    """Weigh the terms, times as `Scorer.idf` does. Returns whether a document has any of them."""
    held = False
    for t in range(len(times)):
        df, weights[t] = float(frequencies[t]), 0.0
        if frequencies[t] > 0:
            idf = np.log(documents - df + 0.5) - np.log(df + 0.5)
            weights[t], held = times[t] * (floor if idf < 0 else idf), True
    return held


@part
def _measure_ids(ids: int, hits: Rows, state: Numbers) -> int:
    """Sum the lengths of the ids of the hits up, as far as what says them is checked."""
    for hit in range(state[AT.named], state[AT.found]):
        row = id_row(ids, hits[hit, HIT_SEGMENT])
        ordinal, checked = hits[hit, HIT_ORDINAL], flags_at(row.checked)
        place = row.starts_at + ordinal * START_BYTES
        page = unchecked_place(checked, place, place + 2 * START_BYTES)
        length = 0
        if page == NOTHING:
            starts = uint64_at(row.starts + ordinal * START_BYTES, 2)
            first, length = signed(starts[0]), signed(starts[1]) - signed(starts[0])
            page = unchecked_place(checked, row.text_at + first, row.text_at + first + length)
        if page != NOTHING:
            state[AT.page], state[AT.place], state[AT.checked_in] = page, NOTHING, hits[hit, HIT_SEGMENT]
            return UNCHECKED
        state[AT.id_bytes] += length
        state[AT.named] += 1
    return FINISHED


@part
def _copy_ids(ids: int, hits: Rows, found: int, out: int, texts: int) -> None:
    """Write `HIT_FIELDS` of each hit; they may lie where the hits do, and need less room. Copy the ids."""
    fields, end = int64_at(out, found * HIT_FIELDS), 0
    for hit in range(found):
        row, score, ordinal = id_row(ids, hits[hit, HIT_SEGMENT]), hits[hit, HIT_SCORE], hits[hit, HIT_ORDINAL]
        starts = uint64_at(row.starts + ordinal * START_BYTES, 2)
        length = signed(starts[1]) - signed(starts[0])
        uint8_at(texts + end, length)[:] = uint8_at(row.text + signed(starts[0]), length)
        end += length
        fields[hit * HIT_FIELDS + _OUT_SCORE], fields[hit * HIT_FIELDS + _OUT_ID_END] = -score, end


def space_for(segments: int, terms: int, limit: int) -> int:
    """Numbers of int64 that `answer` works in.

    Args:
        segments: how many there are.
        terms: of the query.
        limit: how many hits are wanted.
    """
    hits = segments * limit * HIT_COLUMNS
    return hits + 2 * terms + segments * terms * LOCATED + room_for(terms, limit)


@kernel(
    int64,
    int64,
    int64,
    float64,
    float64,
    float64,
    readable(uint64),
    readable(float64),
    int64,
    int64,
    writable(int64),
    writable(int64),
    writable(uint8),
)
def answer(  # noqa: PLR0913, PLR0917 - kernels fill what they are given
    table: int,
    allowed: int,
    documents: float,
    average_length: float,
    floor: float,
    keys: Keys,
    times: Reals,
    limit: int,
    enough: int,
    state: Numbers,
    space: Numbers,
    texts: Bytes,
) -> int:
    """Find the best documents, those with the worst score of them included, count the matches, and read the ids.

    It returns before all is done, when something is to be checked, or the clock to be looked at: then the next call
    goes on.

    Args:
        table: address of the header of a `SegmentTable`.
        allowed: address of `SegmentFlags.addresses`.
        documents: live ones of the snapshot.
        average_length: of the snapshot, in terms.
        floor: idf of the terms whose own would be negative.
        keys: of the terms, shape (terms,), uint64.
        times: how often each is asked for, shape (terms,), float64.
        limit: how many hits are wanted.
        enough: postings after which to look at the clock.
        state: zeros at the first call, shape (STATES,), int64; see `State`.
        space: to work in, shape (`space_for`,), int64; begins with the hits at the end, `HIT_FIELDS` of each.
        texts: takes the ids in UTF-8, one after another, uint8.

    Returns:
        one of the constants of this module.
    """
    header, terms, at = table_header(table), len(keys), space.ctypes.data
    segments, hit_room = header.segments, header.segments * limit
    hits = int64_at(at, hit_room * HIT_COLUMNS).reshape(hit_room, HIT_COLUMNS)
    at += 8 * hit_room * HIT_COLUMNS
    frequencies, weights = int64_at(at, terms), float64_at(at + 8 * terms, terms)
    at += 16 * terms
    located = int64_at(at, segments * terms * LOCATED).reshape(segments, terms, LOCATED)
    at += 8 * segments * terms * LOCATED
    rows = int64_at(header.rows, segments * SEGMENT_FIELDS).reshape(segments, SEGMENT_FIELDS)
    if state[AT.looked_up] < segments:
        live, unchecked = int64_at(header.live, segments), state[AT.page : AT.place + 1]
        state[AT.looked_up] = look_up(rows, live, state[AT.looked_up], keys, located, frequencies, unchecked, at)
        if state[AT.looked_up] < segments:
            state[AT.checked_in] = state[AT.looked_up]
            return UNCHECKED
        if not _weigh(frequencies, times, documents, floor, weights):
            return FINISHED
    if state[AT.searched] < segments:
        averages, counts = float64_at(header.averages, segments), state[AT.found : AT.total + 1]
        flags = int64_at(allowed, segments)
        state[AT.searched] = best_documents(
            rows, averages, flags, average_length, state[AT.searched], located, weights, limit, enough, hits, counts, at
        )
        if state[AT.searched] < segments:
            return LATER
    if _measure_ids(header.ids, hits, state) == UNCHECKED:
        return UNCHECKED
    if state[AT.id_bytes] > len(texts):
        return TOO_LONG
    _copy_ids(header.ids, hits, state[AT.found], space.ctypes.data, texts.ctypes.data)
    return FINISHED
