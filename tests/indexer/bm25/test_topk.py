"""Pruning never changes a result: the kernel's hits are those of scoring every posting."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from indexer.bm25.blocks import SCORE_UNITS
from indexer.bm25.bounds import BoundsBuilder
from indexer.bm25.postings import Bm25Contents
from indexer.bm25.scoring import K1, B
from indexer.bm25.table import SegmentTable
from indexer.bm25.topk import HIT_COLUMNS, POSTINGS_A_CALL, best_documents, room_for
from indexer.bm25.window import WINDOW, WINDOW_ROOM
from indexer.segment import PostingChunk, SegmentFile, SegmentFileBuilder, write_postings
from indexer.segment.packing import MOST_IN_ROW
from tests.indexer.bm25.looking_up import located_terms, table_without_ids


class Searched(NamedTuple):
    """What the kernel found: (score in units, row of the segment, ordinal) of each hit, and how many match."""

    hits: list[tuple[int, int, int]]
    total: int

    def best(self, ranks: np.ndarray, limit: int) -> list[tuple[int, int, int]]:
        """The best hits of one segment, best first, ties by rank."""
        return sorted(self.hits, key=lambda hit: (-hit[0], ranks[hit[2]]))[:limit]


def best_of(
    table: SegmentTable,
    located: np.ndarray,
    weights: np.ndarray,
    average: float,
    limit: int,
    *,
    enough: int = POSTINGS_A_CALL,
) -> Searched:
    """Search all segments of a table."""
    hits = np.empty((limit * len(table.rows), HIT_COLUMNS), np.int64)
    found, space, segment = np.zeros(2, np.int64), np.empty(room_for(len(weights), limit), np.int64), 0
    window = np.zeros(WINDOW_ROOM, np.int64)
    while segment < len(table.rows):
        arrays = (table.rows, table.averages, table.live.addresses)
        room = space.ctypes.data
        segment = best_documents(
            *arrays, average, segment, located, weights, limit, enough, hits, found, window.ctypes.data, room
        )
    return Searched([(score, row, ordinal) for score, row, ordinal in hits[: found[0]].tolist()], int(found[1]))


class Corpus:
    """Random posting lists of a segment that spans several windows.

    Args:
        directory: for its file.
        seed: of chance.
        fading: whether all good documents are in the first window.
    """

    def __init__(self, directory: Path, seed: int, *, fading: bool = False) -> None:
        chance = np.random.default_rng(seed)
        self._fading = fading
        self.documents = 4 * WINDOW - seed if fading else int(chance.integers(1, 3 * WINDOW))
        regions = np.repeat(10 ** chance.uniform(0, 3, 1 + self.documents // 300), 300)  # the maxima of blocks differ
        self.lengths = (regions[: self.documents] * chance.uniform(1, 3, self.documents)).astype(np.uint32)
        if chance.random() < 0.3:
            self.lengths[:] = 100  # so that many documents tie
        if fading:
            self.lengths[:] = np.repeat([10, 5_000], [WINDOW, self.documents - WINDOW])
        self.ranks = chance.permutation(self.documents).astype(np.uint32)
        shares = chance.choice([0.9, 0.5, 0.1, 0.02, 0.001], 6)
        tables = [self._postings(chance, share) for share in shares]
        chunks = [PostingChunk(np.full(len(each), key, np.uint64), each) for key, each in enumerate(tables)]
        self._contents = self._write(directory / f"{seed}.segment", chunks)
        self.tables = tables

    def table(self, live: np.ndarray | None) -> SegmentTable:
        """As the kernel takes it."""
        return table_without_ids([self._contents], [live])

    def located(self, table: SegmentTable, places: Sequence[int]) -> np.ndarray:
        """The lists at some places, as the kernel takes them."""
        return located_terms(table, np.array(places, np.uint64))[0]

    def _postings(self, chance: np.random.Generator, share: float) -> np.ndarray:
        count = max(1, int(share * self.documents))
        ordinals = np.sort(chance.choice(self.documents, count, replace=False))
        counts = chance.geometric(0.4, count)
        counts[chance.random(count) < 0.01] = chance.choice([MOST_IN_ROW - 1, MOST_IN_ROW, 70_000])
        if self._fading:
            counts[ordinals >= WINDOW] = 1
        return np.column_stack((ordinals, counts)).astype(np.uint32)

    def _write(self, path: Path, chunks: Sequence[PostingChunk]) -> Bm25Contents:
        bounds = BoundsBuilder(self.lengths)
        with SegmentFileBuilder(path) as builder:
            write_postings(builder, chunks, columns=2, documents=self.documents, on_lists=bounds.add)
            bounds.write(builder)
            builder.add("bm25.lengths", self.lengths)
            builder.add("bm25.ranks", self.ranks)
            stamp = builder.finish()
        self.average = bounds.average
        return Bm25Contents(SegmentFile(path, stamp))


def exhaustive(
    corpus: Corpus, average: float, places: np.ndarray, weights: np.ndarray, live: np.ndarray | None
) -> list[tuple[int, int, int]]:
    """Every match as (score in units, rank, ordinal), best first."""
    sums, matched = np.zeros(corpus.documents, np.int64), np.zeros(corpus.documents, bool)
    for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
        ordinals, tf = corpus.tables[place].T
        norm = K1 * (1 - B) + K1 * B / average * corpus.lengths[ordinals]
        sums[ordinals] += (weight * (K1 + 1) * SCORE_UNITS * tf / (tf + norm)).astype(np.int64)
        matched[ordinals] = True
    if live is not None:
        matched &= live
    found = [(int(sums[each]), int(corpus.ranks[each]), each) for each in np.flatnonzero(matched).tolist()]
    return sorted(found, key=lambda hit: (-hit[0], hit[1]))


def some_documents(documents: int, seed: int) -> np.ndarray:
    """Many documents, few, or those of one stretch, which can be in no window, or in no block of a list."""
    chance = np.random.default_rng(seed)
    some: np.ndarray = chance.random(documents) < chance.choice([0.5, 0.01, 1.0])
    if chance.random() < 0.5:
        first, end = sorted(chance.integers(0, documents + 1, 2).tolist())
        some[:first] = some[end:] = False
    return some


@pytest.mark.parametrize("seed", range(120))
def test_pruned_results_are_exhaustive_results(tmp_path: Path, seed: int) -> None:
    """Hits, their order and the count equal those of scoring all: any weights, deletions, averages and limits."""
    chance, corpus = random.Random(seed), Corpus(tmp_path, seed)
    places = chance.sample(range(len(corpus.tables)), chance.choice([1, 1, 2, 3, 6]))
    if chance.random() < 0.1:
        places *= 300  # so many terms that estimates overflow
    weights = np.array([chance.choice([chance.uniform(0.01, 12), -0.2, 3.0]) for _ in places])
    average = corpus.average * chance.choice([0.3, 1.0, 1.0, 2.5])
    live = some_documents(corpus.documents, seed) if chance.random() < 0.5 else None
    limit = chance.choice([1, 3, 10, 11, 100, 10_000])
    expected = exhaustive(corpus, average, np.array(places), weights, live)

    table = corpus.table(live)
    searched = best_of(table, corpus.located(table, places), weights, average, limit)

    assert searched.total == len(expected)
    wanted = [(score, ordinal) for score, _, ordinal in expected[:limit]]
    assert [(score, ordinal) for score, _, ordinal in searched.best(corpus.ranks, limit)] == wanted


@pytest.mark.parametrize("seed", range(8))
def test_windows_without_hope_are_counted(tmp_path: Path, seed: int) -> None:
    """What matches behind the last good document counts, if it is not deleted, and is not looked at otherwise."""
    chance, corpus = random.Random(seed), Corpus(tmp_path, seed, fading=True)
    live = np.random.default_rng(seed).random(corpus.documents) < 0.5 if seed % 4 else None
    places, limit = chance.sample(range(len(corpus.tables)), 3), 10
    weights = np.array([chance.uniform(1, 12) for _ in places])
    expected = exhaustive(corpus, corpus.average, np.array(places), weights, live)

    table = corpus.table(live)
    searched = best_of(table, corpus.located(table, places), weights, corpus.average, limit)

    assert searched.total == len(expected)
    wanted = [(score, ordinal) for score, _, ordinal in expected[:limit]]
    assert [(score, ordinal) for score, _, ordinal in searched.best(corpus.ranks, limit)] == wanted


@pytest.mark.parametrize("seed", range(40))
def test_the_threshold_is_carried_from_segment_to_segment(tmp_path: Path, seed: int) -> None:
    """What each segment would answer alone, put together, is what all answer; in one call or in several."""
    chance = random.Random(seed)
    corpora = [Corpus(tmp_path, 1_000 * (seed + 1) + each) for each in range(3)]
    parts = [corpus.table(None).contents[0] for corpus in corpora]
    table = table_without_ids(parts, [None] * len(parts))
    keys = np.array(chance.sample(range(6), 3), np.uint64)
    weights, limit = np.array([chance.uniform(0.1, 9) for _ in keys]), chance.choice([1, 10])
    average = float(np.mean(table.averages))
    enough = chance.choice([1, POSTINGS_A_CALL])
    searched = best_of(table, located_terms(table, keys)[0], weights, average, limit, enough=enough)

    alone = [exhaustive(corpus, average, keys.astype(np.int64), weights, None) for corpus in corpora]
    scores = sorted((hit[0] for each in alone for hit in each), reverse=True)
    assert searched.total == len(scores)
    assert sorted((hit[0] for hit in searched.hits), reverse=True)[:limit] == scores[:limit]
    for segment, each in enumerate(alone):
        worst = scores[min(limit, len(scores)) - 1]
        better = {(score, ordinal) for score, _, ordinal in each if score > worst}
        assert better <= {(score, ordinal) for score, row, ordinal in searched.hits if row == segment}
