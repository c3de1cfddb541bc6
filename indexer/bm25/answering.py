"""The kernel that answers a query in one call: it looks the terms up, weighs them, ranks, and reads the ids.

For a query of few documents a call costs as much as the search, and what Python does between two calls costs more than
it does alone, since a kernel leaves the caches of the processor to its own data. For the same reason all that a query
is told by and all that is found lies in one piece of memory, a desk, of which the kernel gets the address: each array
would cost a call more than the numbers in it.

    fields    of `Desk`, 8 bytes each
    window    see `indexer.bm25.window.window_at`; what is 0 there is so between two queries, too
    keys      of the terms, repeated as often as they are asked for                     uint64
    scores    of the hits, best first                                                   float64
    the rest  to work in
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import LOCATED, SCORE_UNITS
from indexer.bm25.lookup import NOTHING, look_up
from indexer.bm25.table import SEGMENT_FIELDS, Rows, table_header
from indexer.bm25.topk import HIT_COLUMNS, HIT_ORDINAL, HIT_SCORE, HIT_SEGMENT, best_documents, room_for
from indexer.bm25.window import WINDOW_ROOM
from indexer.compiled import float64_at, inlined, int64, int64_at, kernel, part, signed, uint8_at, uint64_at
from indexer.segment.ids import START_BYTES, id_row
from indexer.segment.pages import flags_at, unchecked_place

FINISHED: Final = 0
"""All is done."""

UNCHECKED: Final = 1
"""Something is to be checked before the next call: see `Desk`."""

LATER: Final = 2
"""There are more segments, and it is time to look at the clock."""

TOO_LONG: Final = 3
"""The ids need more room."""

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


class Desk(NamedTuple):
    """Where the fields of a desk are; those from `terms` on are 0 at the first call.

    Attributes:
        table: address of the header of a `SegmentTable`.
        allowed: address of `SegmentFlags.addresses`.
        documents: live ones of the snapshot, float64.
        average_length: of the snapshot, in terms, float64.
        floor: idf of the terms whose own would be negative, float64.
        limit: how many hits are wanted.
        enough: postings after which to look at the clock.
        keys: how many there are, at least one.
        texts: address of room for ids.
        text_room: how many bytes it has.
        terms: different ones.
        page: what is to be checked, see `SegmentTable.check`.
        place: the same.
        checked_in: segment of it.
        looked_up: segments in which the terms were looked up.
        searched: segments that were searched.
        named: hits whose ids were measured.
        found: hits; at the end, those that are given.
        total: matches.
        id_bytes: of the ids in UTF-8 with a zero byte between each two; at the end, of those that are given.
    """

    table: int = 0
    allowed: int = 1
    documents: int = 2
    average_length: int = 3
    floor: int = 4
    limit: int = 5
    enough: int = 6
    keys: int = 7
    texts: int = 8
    text_room: int = 9
    terms: int = 10
    page: int = 11
    place: int = 12
    checked_in: int = 13
    looked_up: int = 14
    searched: int = 15
    named: int = 16
    found: int = 17
    total: int = 18
    id_bytes: int = 19


AT: Final = Desk()

KEYS_AT: Final = 8 * (len(AT) + WINDOW_ROOM)
"""Where the keys begin, in bytes."""

_SEPARATOR: Final = 0
"""Stands between two ids, none of which has it."""

_FIRST_GAP: Final = 3


def desk_room(segments: int, keys: int, limit: int) -> int:
    """Numbers of 8 bytes that a desk needs.

    Args:
        segments: how many there are.
        keys: of the query.
        limit: how many hits are wanted.
    """
    hits = segments * limit * HIT_COLUMNS
    return len(AT) + WINDOW_ROOM + 4 * keys + limit + hits + segments * keys * LOCATED + room_for(keys, limit)


@inlined
def _different(keys: Keys, times: Reals) -> int:
    """Move different keys to the front, and count how often each was there."""
    terms = 0
    for key in keys:
        t = 0
        while t < terms and keys[t] != key:
            t += 1
        if t == terms:
            keys[t], times[t] = key, 0.0
            terms += 1
        times[t] += 1.0
    return terms


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
def _measure_ids(ids: int, hits: Rows, desk: Numbers) -> int:
    """Sum the lengths of the ids of the hits up, as far as what says them is checked."""
    for hit in range(desk[AT.named], desk[AT.found]):
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
            desk[AT.page], desk[AT.place], desk[AT.checked_in] = page, NOTHING, hits[hit, HIT_SEGMENT]
            return UNCHECKED
        desk[AT.id_bytes] += length + 1
        desk[AT.named] += 1
    return FINISHED


@inlined
def _id(ids: int, hits: Rows, hit: int) -> Bytes:
    row = id_row(ids, hits[hit, HIT_SEGMENT])
    starts = uint64_at(row.starts + hits[hit, HIT_ORDINAL] * START_BYTES, 2)
    return uint8_at(row.text + signed(starts[0]), signed(starts[1]) - signed(starts[0]))


@part
def _id_is_less(ids: int, hits: Rows, one: int, other: int) -> bool:
    """Whether the id of a hit comes before that of another; UTF-8 has the order of the characters."""
    text, other_text = _id(ids, hits, one), _id(ids, hits, other)
    for at in range(min(len(text), len(other_text))):
        if text[at] != other_text[at]:
            return bool(text[at] < other_text[at])
    return len(text) < len(other_text)


@part
def _order(ids: int, hits: Rows, found: int) -> None:
    """Bring hits into order: by score, and by id where it is equal (Shell's sort, with Knuth's gaps)."""
    gap = 1
    while gap < found // _FIRST_GAP:
        gap = 3 * gap + 1
    while gap > 0:
        for start in range(gap, found):
            hit, before = start, start - gap
            while before >= 0:
                score, other = hits[hit, HIT_SCORE], hits[before, HIT_SCORE]
                if score < other or (score == other and not _id_is_less(ids, hits, hit, before)):
                    break
                for column in range(HIT_COLUMNS):
                    hits[hit, column], hits[before, column] = hits[before, column], hits[hit, column]
                hit, before = before, before - gap
        gap //= 3


@part
def _give(ids: int, hits: Rows, desk: Numbers, scores: Reals) -> None:
    """Write scores and ids of the best hits."""
    given, end = min(desk[AT.found], desk[AT.limit]), 0
    for hit in range(given):
        scores[hit] = float(hits[hit, HIT_SCORE]) / SCORE_UNITS
        text = _id(ids, hits, hit)
        uint8_at(desk[AT.texts] + end, len(text))[:] = text
        end += len(text)
        if hit < given - 1:
            uint8_at(desk[AT.texts] + end, 1)[0] = _SEPARATOR
            end += 1
    desk[AT.found], desk[AT.id_bytes] = given, end


@kernel(int64, int64)
def answer(address: int) -> int:
    """Find the best documents, count the matches, and read the ids.

    It returns before all is done, when something is to be checked, or the clock to be looked at: then the next call
    goes on.

    Args:
        address: of a desk.

    Returns:
        one of the constants of this module.
    """
    desk, reals, window = int64_at(address, len(AT)), float64_at(address, len(AT)), address + 8 * len(AT)
    header, limit, keys, at = table_header(desk[AT.table]), desk[AT.limit], desk[AT.keys], address + KEYS_AT
    keys_at, times_at, scores = at, at + 8 * keys, float64_at(at + 16 * keys, limit)
    at += 16 * keys + 8 * limit
    if desk[AT.terms] == 0:
        desk[AT.terms] = _different(uint64_at(keys_at, keys), float64_at(times_at, keys))
    segments, terms = header.segments, desk[AT.terms]
    hits = int64_at(at, segments * limit * HIT_COLUMNS).reshape(segments * limit, HIT_COLUMNS)
    at += 8 * segments * limit * HIT_COLUMNS
    frequencies, weights = int64_at(at, terms), float64_at(at + 8 * terms, terms)
    at += 16 * terms
    located = int64_at(at, segments * terms * LOCATED).reshape(segments, terms, LOCATED)
    at += 8 * segments * terms * LOCATED
    rows = int64_at(header.rows, segments * SEGMENT_FIELDS).reshape(segments, SEGMENT_FIELDS)
    if desk[AT.looked_up] < segments:
        live, unchecked, wanted = (
            int64_at(header.live, segments),
            desk[AT.page : AT.place + 1],
            uint64_at(keys_at, terms),
        )
        first = desk[AT.looked_up]
        desk[AT.looked_up] = look_up(rows, live, first, wanted, located, frequencies, unchecked, window)
        if desk[AT.looked_up] < segments:
            desk[AT.checked_in] = desk[AT.looked_up]
            return UNCHECKED
        times = float64_at(times_at, terms)
        if not _weigh(frequencies, times, reals[AT.documents], reals[AT.floor], weights):
            return FINISHED
    if desk[AT.searched] < segments:
        averages, counts = float64_at(header.averages, segments), desk[AT.found : AT.total + 1]
        flags, average, enough = int64_at(desk[AT.allowed], segments), reals[AT.average_length], desk[AT.enough]
        first = desk[AT.searched]
        desk[AT.searched] = best_documents(
            rows, averages, flags, average, first, located, weights, limit, enough, hits, counts, window, at
        )
        if desk[AT.searched] < segments:
            return LATER
    if _measure_ids(header.ids, hits, desk) == UNCHECKED:
        return UNCHECKED
    if desk[AT.id_bytes] > desk[AT.text_room]:
        return TOO_LONG
    _order(header.ids, hits, desk[AT.found])
    _give(header.ids, hits, desk, scores)
    return FINISHED
