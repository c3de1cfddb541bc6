"""Posting lists: which documents of a segment hold a key, and what is worth knowing about each, in order of document.

A key is a number: a term's hash, a trigram. A posting is the document's ordinal and, where the engine has one, a
number of at least 1. A segment has lists under several names. Sections, for `posting`, which the engine's own lists
are named, and of which `indexer.segment.packing` explains the packed words:

    posting.keys          sorted, each once                                                            uint64
    posting.counts        postings of each key                                                         uint32
    posting.starts        the word of `posting.words` where each list begins, and the end of the last  uint64, keys + 1
    posting.words         the lists, bit-packed in blocks of 128, dense ones with flags and rows       uint32
    posting.block_starts  the first full block of each key, and their number                           uint64, keys + 1
    posting.block_last    last ordinal of each full block                                              uint32
    posting.block_words   where it begins, in words from the beginning of its list                     uint32

The rest of a list, less than a block, has no row in `posting.block_*`. The dictionary is searched by binary search in
the mapped file; no process holds it as a dict.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.errors import GenerationUnusable
from indexer.segment.dictionary import ABSENT, Dictionary
from indexer.segment.file import SegmentFile, SegmentFileBuilder
from indexer.segment.packing import (
    BLOCK,
    DENSE_SHARE,
    LEAST_DENSE,
    flag_words,
    pack_lists,
    row_words,
    unpack_lists,
)
from indexer.segment.pages import Pages
from indexer.segment.section import Section

GONE: Final = np.iinfo(np.uint32).max
"""The new ordinal of a document that a merge leaves out."""

_NAME: Final = "posting"
_CHUNK_POSTINGS: Final = 1 << 20

Keys = npt.NDArray[np.uint64]
Table = npt.NDArray[np.uint32]
Starts = npt.NDArray[np.int64]


class MappedLists(NamedTuple):
    """The sections as they are mapped, for kernels; they read only lists that `PostingLists.touch` has checked.

    Attributes:
        pages: of the file.
        keys_at: place of the keys in it.
        counts_at: place of the counts in it.
        touched: by key, not 0 for lists that were checked, shape (keys,), uint8.
    """

    pages: Pages
    keys_at: int
    counts_at: int
    touched: npt.NDArray[np.uint8]
    keys: Keys
    counts: Table
    starts: Keys
    words: Table
    block_starts: Keys
    block_last: Table
    block_words: Table


class PostingChunk(msgspec.Struct, frozen=True):
    """Postings for `write_postings`.

    Attributes:
        keys: the key of each posting, ascending, shape (n,), uint64.
        postings: shape (n, columns), uint32; ascending by ordinal within a key.
    """

    keys: Keys
    postings: Table


Steps = npt.NDArray[np.uint8]

OnLists = Callable[[PostingChunk, Starts], Steps]
"""Told each chunk as it is written, with where its lists begin in it, shape (lists + 1,); gives what stands for each of
its postings in the rows of lists, at least 1, shape (n,)."""


class PostingLists:
    """Reads the posting sections of a segment file; whatever does raises `SegmentDamaged` for what was not written.

    Args:
        file: of the segment.
        name: of the lists.
        columns: width of a posting, the ordinal included: 1 or 2.
        beside_lists: what an engine keeps, a row for each key.
        beside_blocks: the same for each full block.

    Attributes:
        columns: as given.
        mapped: for kernels.
    """

    def __init__(
        self,
        file: SegmentFile,
        *,
        name: str = _NAME,
        columns: int = 1,
        beside_lists: Sequence[Section[Any]] = (),
        beside_blocks: Sequence[Section[Any]] = (),
    ) -> None:
        self.columns = columns
        self._keys = file.section(f"{name}.keys", np.uint64)
        self._counts = file.section(f"{name}.counts", np.uint32)
        self._starts = file.section(f"{name}.starts", np.uint64)
        self._words = file.section(f"{name}.words", np.uint32)
        self._block_starts = file.section(f"{name}.block_starts", np.uint64)
        self._block_last = file.section(f"{name}.block_last", np.uint32)
        self._block_words = file.section(f"{name}.block_words", np.uint32)
        self._beside_lists = (self._counts, *beside_lists)
        self._beside_blocks = (self._block_last, self._block_words, *beside_blocks)
        self._dictionary = Dictionary(self._keys, self._counts)
        self._touched = bytearray(len(self._keys))
        self.mapped = self._mapped()
        self._check_lengths(f"{file.path}: {name}")

    @property
    def keys(self) -> Keys:
        """Sorted, shape (n,), uint64."""
        return self._keys.whole()

    @property
    def counts(self) -> Table:
        """Postings of each key, shape (n,), uint32."""
        return self._counts.whole()

    def touch(self, place: int) -> None:
        """Check what kernels read of the list of the key at a place.

        Raises:
            SegmentDamaged: naming what changed.
        """
        if not self._touched[place]:
            self._touch(place)

    def find(self, key: int) -> Table:
        """The postings of a key, shape (n, columns), uint32; empty when the segment does not have it."""
        place = int(self.locate(np.array([key], np.uint64))[0][0])
        if place == ABSENT:
            return np.empty((0, self.columns), np.uint32)
        return self.at(place)

    def at(self, place: int) -> Table:
        """The postings of the key at a place, shape (n, columns), uint32."""
        return self._unpacked(place, place + 1)

    def locate(self, keys: Keys) -> tuple[Starts, Starts]:
        """Where the lists of some keys are, `ABSENT` for none, and how many postings they have; both int64."""
        return self._dictionary.locate(keys)

    def lengths(self, live: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.int64]:
        """How many documents each key has, shape (keys,), int64.

        Args:
            live: flag by ordinal of the documents that count; None when all do. Costs a pass over all postings.
        """
        if live is None:
            return self.counts.astype(np.int64)
        counts = np.zeros(len(self._keys), np.int64)
        for first, last in self._spans():
            ends = np.cumsum(self.counts[first:last], dtype=np.int64)
            held = live[self._unpacked(first, last)[:, 0]]
            counts[first:last] = np.add.reduceat(held, ends - self.counts[first:last], dtype=np.int64)
        return counts

    def chunk(self, first: int, last: int) -> PostingChunk:
        """The postings of the keys from place `first` to before `last`."""
        return PostingChunk(np.repeat(self.keys[first:last], self.counts[first:last]), self._unpacked(first, last))

    def place_within(self, place: int, budget: int) -> int:
        """The place up to which the lists from `place` on have at most `budget` postings; at least one further."""
        counts = np.cumsum(self.counts[place : place + budget], dtype=np.int64)
        return place + max(1, int(np.searchsorted(counts, budget, side="right")))

    def _unpacked(self, first: int, last: int) -> Table:
        counts, starts = self._counts.part(first, last), self._starts.part(first, last)
        total = int(counts.sum(dtype=np.int64))
        self._words.touch(self._starts.number(first), self._starts.number(last))
        ordinals = np.empty(total, np.uint32)
        column = np.empty(total if self.columns > 1 else 0, np.uint32)
        unpack_lists(self._words.unchecked, starts, counts, ordinals, column)
        return ordinals[:, np.newaxis] if self.columns == 1 else np.column_stack((ordinals, column))

    def _spans(self) -> Iterator[tuple[int, int]]:
        first = 0
        while first < len(self._keys):
            last = self.place_within(first, _CHUNK_POSTINGS)
            yield first, last
            first = last

    def _mapped(self) -> MappedLists:
        return MappedLists(
            pages=self._keys.pages,
            keys_at=self._keys.at,
            counts_at=self._counts.at,
            touched=np.frombuffer(self._touched, np.uint8),
            keys=self._keys.unchecked,
            counts=self._counts.unchecked,
            starts=self._starts.unchecked,
            words=self._words.unchecked,
            block_starts=self._block_starts.unchecked,
            block_last=self._block_last.unchecked,
            block_words=self._block_words.unchecked,
        )

    def _touch(self, place: int) -> None:
        self._words.touch(self._starts.number(place), self._starts.number(place + 1))
        for each in self._beside_lists:
            each.touch(place, place + 1)
        for each in self._beside_blocks:
            each.touch(self._block_starts.number(place), self._block_starts.number(place + 1))
        self._touched[place] = 1

    def _check_lengths(self, name: str) -> None:
        by_key = {len(self._starts) - 1, len(self._block_starts) - 1, *map(len, self._beside_lists)}
        blocks = self._block_starts.last()
        fits = by_key == {len(self._keys)} and all(len(each) == blocks for each in self._beside_blocks)
        if not fits or self._starts.last() != len(self._words):
            raise GenerationUnusable(f"{name} sections that do not fit each other")


def write_postings(
    builder: SegmentFileBuilder,
    chunks: Iterable[PostingChunk],
    *,
    name: str = _NAME,
    columns: int,
    documents: int = 0,
    on_lists: OnLists | None = None,
) -> None:
    """Write the posting sections; the lists are streamed, what stands beside keys and blocks is held in memory.

    Args:
        builder: of the segment.
        chunks: ascending by key; a key is in one chunk only.
        name: of the lists.
        columns: width of a posting, the ordinal included: 1 or 2.
        documents: how many the segment has, if it is to have dense lists, see `indexer.segment.packing`; 0 otherwise.
        on_lists: told each chunk, for what the engine keeps beside lists and blocks; needed for dense lists.
    """
    packed = _Packed(columns, documents)
    with builder.section(f"{name}.words", np.uint32) as section:
        for chunk in chunks:
            starts = _list_starts(chunk.keys)
            keys, counts = chunk.keys[starts[:-1]], np.diff(starts)
            steps = np.empty(0, np.uint8) if on_lists is None else on_lists(chunk, starts)
            section.write(packed.pack(keys, counts, chunk.postings, steps, starts))
    builder.add(f"{name}.keys", np.concatenate(packed.keys))
    builder.add(f"{name}.counts", np.concatenate(packed.counts))
    builder.add(f"{name}.starts", _ends(packed.list_words))
    builder.add(f"{name}.block_starts", _ends(packed.list_blocks))
    builder.add(f"{name}.block_last", np.concatenate(packed.block_last))
    builder.add(f"{name}.block_words", np.concatenate(packed.block_words))


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
        pivot = min(sources[i][0].keys[sources[i][0].place_within(places[i], budget) - 1] for i in unread)
        parts: list[PostingChunk] = []
        for i in unread:
            lists, ordinals = sources[i]
            end = int(np.searchsorted(lists.keys, pivot, side="right"))
            parts.append(_renumbered(lists.chunk(places[i], end), ordinals))
            places[i] = end
        yield _in_key_order(parts)


class _Packed:
    """What is known of the lists that were packed already, chunk by chunk."""

    def __init__(self, columns: int, documents: int) -> None:
        self._columns = columns
        self._documents = documents
        self.keys: list[Keys] = [np.empty(0, np.uint64)]
        self.counts: list[Table] = [np.empty(0, np.uint32)]
        self.list_words: list[Starts] = [np.zeros(1, np.int64)]
        self.list_blocks: list[Starts] = [np.zeros(1, np.int64)]
        self.block_last: list[Table] = [np.empty(0, np.uint32)]
        self.block_words: list[Table] = [np.empty(0, np.uint32)]

    def pack(self, keys: Keys, counts: Starts, postings: Table, steps: Steps, starts: Starts) -> Table:
        blocks = counts // BLOCK
        words = np.zeros(self._words_at_most(counts), np.uint32)
        places = np.empty(len(keys) + 1, np.int64)
        block_last, block_words = np.empty((2, int(blocks.sum())), np.uint32)
        ordinals = np.ascontiguousarray(postings[:, 0])
        column = np.ascontiguousarray(postings[:, 1]) if self._columns > 1 else np.empty(0, np.uint32)
        pack_lists(ordinals, column, steps, starts, self._documents, words, places, block_last, block_words)
        self.keys.append(keys)
        self.counts.append(counts.astype(np.uint32))
        self.list_words.append(np.diff(places))
        self.list_blocks.append(blocks)
        self.block_last.append(block_last)
        self.block_words.append(block_words)
        return words[: places[-1]]

    def _words_at_most(self, counts: Starts) -> int:
        headers = int((counts // BLOCK + 1).sum())
        documents = self._documents
        dense = int(np.count_nonzero(counts >= max(LEAST_DENSE, documents / DENSE_SHARE))) if documents else 0
        behind = dense * (flag_words(documents) + 2 * row_words(documents))
        return int(counts.sum()) * self._columns + headers * (self._columns + 1) + behind


def _list_starts(keys: Keys) -> Starts:
    """Where the postings of each key begin, and the end of the last, int64; keys ascend."""
    new = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate([np.zeros(min(len(keys), 1), np.int64), new, [len(keys)]])


def _ends(lengths: Sequence[Starts]) -> Keys:
    return np.cumsum(np.concatenate(lengths)).astype(np.uint64)


def _renumbered(chunk: PostingChunk, ordinals: Table) -> PostingChunk:
    postings = chunk.postings
    postings[:, 0] = ordinals[postings[:, 0]]
    kept = postings[:, 0] != GONE
    return PostingChunk(chunk.keys[kept], postings[kept])


def _in_key_order(parts: Sequence[PostingChunk]) -> PostingChunk:
    keys = np.concatenate([part.keys for part in parts])
    order = np.argsort(keys, kind="stable")
    return PostingChunk(keys[order], np.concatenate([part.postings for part in parts])[order])
