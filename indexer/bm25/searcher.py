"""Answers bag-of-words queries, by the kernel of `indexer.bm25.answering`."""

import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, cast

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.analysis import get_analyzer
from indexer.backend import Answer, Hit, Query
from indexer.bm25.answering import AT, KEYS_AT, TOO_LONG, UNCHECKED, answer, desk_room
from indexer.bm25.explaining import TermStatistics
from indexer.bm25.keys import KEY_BYTES, encoded_keys, term_keys
from indexer.bm25.postings import Bm25Contents, Bm25Engine, read_statistics
from indexer.bm25.scoring import Scorer
from indexer.bm25.table import SegmentFlags, segment_flags, table_of
from indexer.bm25.topk import POSTINGS_A_CALL
from indexer.errors import GenerationUnusable
from indexer.explanation import Explanation
from indexer.filtering import Filter
from indexer.generation import Generation
from indexer.segment import ABSENT, Segment, SegmentedSearcher, Snapshot
from indexer.segment.tombstones import Flags
from streams.document import DocumentId

_TEXT_ROOM: Final = 4096
"""Bytes for ids, to begin with."""

_NUMBER_BYTES: Final = 8
_ASKED: Final = struct.Struct(f"=2q3d5q{_NUMBER_BYTES * (len(AT) - AT.terms)}s")
"""The fields of a desk at the first call."""

_TEXTS: Final = struct.Struct("=2q")
_UNCHECKED: Final = struct.Struct("=3q")
_FOUND: Final = struct.Struct("=3q")
"""Fields that follow one another: from `texts`, from `page` and from `found` on."""


class Bm25Searcher(SegmentedSearcher[Bm25Contents]):
    """`BlockingSearcher` of the bm25 method.

    Args:
        generation: what to search.

    Raises:
        GenerationUnusable: files are damaged, gone or of another format.
    """

    def __init__(self, generation: Generation) -> None:
        self._analyzer = get_analyzer(generation.settings.analyzer)
        self._newest: _SearchedSnapshot | None = None
        super().__init__(generation, Bm25Engine(self._analyzer))

    def close(self) -> None:
        """As `SearchBackend.close`."""
        self._newest = None
        super().close()

    def _search(self, snapshot: Snapshot[Bm25Contents], query: Query) -> Answer:
        newest = self._newest
        if newest is None or newest.snapshot is not snapshot:
            self._newest = newest = _SearchedSnapshot(snapshot)
        hits, total = newest.search(encoded_keys(self._analyzer.terms(query.text)), query)
        return Answer(hits, total, newest.watermark)

    def _matching(self, snapshot: Snapshot[Bm25Contents], query: Query) -> tuple[list[Flags], bool]:
        keys = term_keys(dict.fromkeys(self._analyzer.terms(query.text)))
        return [_with_any(segment, keys, query) for segment in snapshot.segments], True

    def _explain(
        self,
        snapshot: Snapshot[Bm25Contents],
        query: Query,
        located: Mapping[DocumentId, tuple[Segment[Bm25Contents], int]],
    ) -> Iterator[tuple[DocumentId, Explanation]]:
        repetitions = _repetitions(self._analyzer.terms(query.text))
        scorer = _scorer(snapshot.manifest.summary)
        if not repetitions or scorer is None:
            return
        terms = TermStatistics(snapshot.segments, repetitions, query.deadline)
        for document_id, document in located.items():
            explained = terms.explain(document, scorer)
            if explained.details:
                yield document_id, explained


class _SearchedSnapshot:
    """A snapshot as the kernel takes it.

    Args:
        snapshot: to search.

    Attributes:
        snapshot: as given.
        watermark: of the snapshot.

    Raises:
        GenerationUnusable: what every query reads is damaged.
    """

    def __init__(self, snapshot: Snapshot[Bm25Contents]) -> None:
        self.snapshot = snapshot
        self.watermark = snapshot.manifest.watermark
        # The largest first: its best hits raise the threshold for the others.
        self._segments = sorted(snapshot.segments, key=lambda segment: -len(segment.documents))
        self._table = table_of(
            [each.contents for each in self._segments],
            [each.live for each in self._segments],
            [each.documents.id_row() for each in self._segments],
        )
        self._address = self._table.header.ctypes.data
        scorer = _scorer(snapshot.manifest.summary)
        self._statistics = (scorer.documents, scorer.average_length, scorer.floor) if scorer else None

    def search(self, keys: bytes, query: Query) -> tuple[list[Hit], int]:
        """The best hits, and how many documents that may be found have a term.

        Args:
            keys: of the terms, repeated as often as they are asked for; see `encoded_keys`.
            query: how many hits, of which documents, and when to stop.
        """
        count, limit, allowed = len(keys) // KEY_BYTES, query.limit, self._allowed(query.only)
        if not count or self._statistics is None:
            return [], 0
        desk = _desks.desk(desk_room(len(self._segments), count, limit))
        asked = (self._address, allowed.address, *self._statistics, limit, POSTINGS_A_CALL, count, *desk.text_room)
        _ASKED.pack_into(desk.octets, 0, *asked, b"")
        desk.octets[KEYS_AT : KEYS_AT + len(keys)] = keys
        query.deadline.check()
        while what := answer(desk.address):
            if what == UNCHECKED:
                page, place, segment = _UNCHECKED.unpack_from(desk.octets, _NUMBER_BYTES * AT.page)
                self._table.check(segment, page, place)
            elif what == TOO_LONG:
                desk.enlarge_texts()
            query.deadline.check()
        return desk.hits(KEYS_AT // _NUMBER_BYTES + 2 * count)

    def _allowed(self, only: Filter) -> SegmentFlags:
        """The documents that may be found."""
        if not only:
            return self._table.live
        return segment_flags([segment.passing(only) for segment in self._segments])


class _Desk:
    """Memory that the kernel and a thread share; see `indexer.bm25.answering`.

    Args:
        room: numbers of 8 bytes at least.

    Attributes:
        room: how many numbers there are.
        address: of the first.
        octets: all of it.
        text_room: address of room for ids, and how many bytes that is.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        numbers = np.zeros(room, np.float64)
        self.address = numbers.ctypes.data
        self._numbers = numbers.data
        self.octets = self._numbers.cast("B")
        self._make_texts(_TEXT_ROOM)

    def enlarge_texts(self) -> None:
        """Make as much room for ids as the kernel says that it needs."""
        _, _, size = self._found()
        self._make_texts(size)
        _TEXTS.pack_into(self.octets, _NUMBER_BYTES * AT.texts, *self.text_room)

    def hits(self, scores_at: int) -> tuple[list[Hit], int]:
        """What the kernel has found.

        Args:
            scores_at: number of the first score.

        Returns:
            the hits, and how many matches there are.
        """
        found, total, size = self._found()
        if not found:
            return [], total
        ids = cast("list[DocumentId]", str(self._texts[:size], "utf-8").split("\0"))
        return list(map(Hit, ids, self._numbers[scores_at : scores_at + found].tolist())), total

    def _found(self) -> tuple[int, int, int]:
        return _FOUND.unpack_from(self.octets, _NUMBER_BYTES * AT.found)

    def _make_texts(self, size: int) -> None:
        texts = np.empty(size, np.uint8)
        self._texts = texts.data
        self.text_room = (texts.ctypes.data, size)


class _Desks(threading.local):
    """A desk for each thread, since a new one for each query would be paged in each time."""

    def __init__(self) -> None:
        self._desk = _Desk(1)

    def desk(self, room: int) -> _Desk:
        """The desk of this thread, with room for so many numbers at least."""
        if self._desk.room < room:
            self._desk = _Desk(room)
        return self._desk


_desks = _Desks()


def _repetitions(terms: Iterable[str]) -> dict[str, int]:
    """How often each term is asked for, in the order in which they come."""
    repetitions = dict[str, int]()
    for term in terms:
        repetitions[term] = repetitions.get(term, 0) + 1
    return repetitions


def _with_any(segment: Segment[Bm25Contents], keys: npt.NDArray[np.uint64], query: Query) -> Flags:
    """The documents of a segment that have a term and may be found."""
    postings = segment.contents.postings
    held = np.zeros(len(segment.documents), np.bool_)
    places, _ = postings.locate(keys)
    for place in places[places != ABSENT].tolist():
        query.deadline.check()
        held[postings.at(place)[:, 0]] = True
    passing = segment.passing(query.only)
    return held if passing is None else held & passing


@lru_cache(maxsize=2)
def _scorer(summary: bytes) -> Scorer | None:
    """The scorer of a snapshot, None for one without a term; the newest and the one before are at hand."""
    try:
        statistics = read_statistics(summary)
        return Scorer(statistics) if statistics.terms else None
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"the statistics in the manifest cannot be read: {exc}") from exc
