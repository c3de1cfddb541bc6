"""Posting lists: which documents of a segment hold a key, and what is worth knowing about each, in order of document.

A key is a number: a term's hash, a trigram. Sections:

    posting.keys     sorted, each once                                                     uint64
    posting.starts   where each key's list begins, and the end of the last                 uint64, keys + 1
    posting.lists    one row a posting: the document's ordinal, then the engine's columns  uint32

The dictionary is searched by binary search in the mapped file; no process holds it as a dict.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.errors import GenerationUnusable
from indexer.segment.file import SegmentFile, SegmentFileBuilder

GONE: Final = np.iinfo(np.uint32).max
"""The new ordinal of a document that a merge leaves out."""

_CHUNK_POSTINGS: Final = 1 << 20

Keys = npt.NDArray[np.uint64]
Table = npt.NDArray[np.uint32]


class PostingChunk(msgspec.Struct, frozen=True):
    """Postings for `write_postings`.

    Attributes:
        keys: the key of each posting, ascending, shape (n,), uint64.
        postings: shape (n, columns), uint32; ascending by ordinal within a key.
    """

    keys: Keys
    postings: Table


class PostingLists:
    """Reads the posting sections of a segment file.

    Attributes:
        keys: sorted, shape (n,), uint64.
        starts: row where each key's list begins, shape (n + 1,), uint64.
        postings: shape (rows, columns), uint32.
    """

    def __init__(self, file: SegmentFile) -> None:
        self.keys = file.array("posting.keys", np.uint64)
        self.starts = file.array("posting.starts", np.uint64)
        postings = file.array("posting.lists", np.uint32)
        self.postings: Table = postings if postings.ndim > 1 else postings[:, np.newaxis]
        if len(self.starts) != len(self.keys) + 1 or int(self.starts[-1]) != len(self.postings):
            raise GenerationUnusable(f"{file.path}: posting sections that do not fit each other")

    def find(self, key: int) -> Table:
        """The postings of a key, shape (n, columns), uint32; empty when the segment does not have it."""
        place = int(np.searchsorted(self.keys, np.uint64(key)))
        if place == len(self.keys) or int(self.keys[place]) != key:
            return self.postings[:0]
        return self.postings[int(self.starts[place]) : int(self.starts[place + 1])]

    def lengths(self, live: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.int64]:
        """How many documents each key has, shape (keys,), int64.

        Args:
            live: flag by ordinal of the documents that count; None when all do. Costs a pass over all postings.
        """
        if live is None:
            starts = self.starts.astype(np.int64)
            return starts[1:] - starts[:-1]
        counts = np.zeros(len(self.keys), np.int64)
        for first, last in _spans(self.starts, _CHUNK_POSTINGS):
            rows = slice(int(self.starts[first]), int(self.starts[last]))
            offsets = (self.starts[first:last] - self.starts[first]).astype(np.intp)
            counts[first:last] = np.add.reduceat(live[self.postings[rows, 0]], offsets, dtype=np.int64)
        return counts


def write_postings(builder: SegmentFileBuilder, chunks: Iterable[PostingChunk], *, columns: int) -> None:
    """Write the posting sections; the lists are streamed, keys and starts are held in memory until the end.

    Args:
        builder: of the segment.
        chunks: ascending by key; a key is in one chunk only.
        columns: width of a posting, the ordinal included.
    """
    keys: list[Keys] = [np.empty(0, np.uint64)]
    lengths: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]
    with builder.section("posting.lists", np.uint32, columns=columns) as section:
        for chunk in chunks:
            unique, counts = np.unique(chunk.keys, return_counts=True)
            keys.append(unique)
            lengths.append(counts.astype(np.int64))
            section.write(chunk.postings)
    builder.add("posting.keys", np.concatenate(keys))
    builder.add("posting.starts", np.cumsum(np.concatenate(lengths)).astype(np.uint64))


def merge_chunks(sources: Sequence[tuple[PostingLists, Table]]) -> Iterator[PostingChunk]:
    """Merge the postings of several segments, key range by key range, so that memory stays bounded.

    Args:
        sources: posting lists, each with the new ordinal of its documents (`GONE` for those left out), shape
            (documents,), uint32. New ordinals ascend, within a source and from one to the next.
    """
    places = [0] * len(sources)
    while True:
        unread = [i for i, (lists, _) in enumerate(sources) if places[i] < len(lists.keys)]
        if not unread:
            return
        budget = max(1, _CHUNK_POSTINGS // len(unread))
        pivot = min(_key_within(sources[i][0], places[i], budget) for i in unread)
        parts: list[PostingChunk] = []
        for i in unread:
            lists, ordinals = sources[i]
            end = int(np.searchsorted(lists.keys, pivot, side="right"))
            parts.append(_renumbered(lists, slice(places[i], end), ordinals))
            places[i] = end
        yield _in_key_order(parts)


def _key_within(lists: PostingLists, place: int, budget: int) -> np.uint64:
    """The last key that keeps a chunk beginning at `place` within so many postings; at least that first key."""
    limit = lists.starts[place] + np.uint64(budget)
    end = int(np.searchsorted(lists.starts, limit, side="right")) - 1
    key: np.uint64 = lists.keys[max(place, end - 1)]
    return key


def _renumbered(lists: PostingLists, keys: slice, ordinals: Table) -> PostingChunk:
    starts = lists.starts[keys.start : keys.stop + 1].astype(np.int64)
    postings = lists.postings[starts[0] : starts[-1]].copy()
    postings[:, 0] = ordinals[postings[:, 0]]
    kept = postings[:, 0] != GONE
    return PostingChunk(np.repeat(lists.keys[keys], np.diff(starts))[kept], postings[kept])


def _in_key_order(parts: Sequence[PostingChunk]) -> PostingChunk:
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys, kind="stable")
    return PostingChunk(keys[order], np.concatenate([part.postings for part in parts])[order])


def _spans(starts: npt.NDArray[Any], budget: int) -> Iterator[tuple[int, int]]:
    """Ranges of keys whose postings number about `budget`."""
    first, keys = 0, len(starts) - 1
    while first < keys:
        last = int(np.searchsorted(starts, starts[first] + np.uint64(budget), side="right")) - 1
        last = min(max(last, first + 1), keys)
        yield first, last
        first = last
