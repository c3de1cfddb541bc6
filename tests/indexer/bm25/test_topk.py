"""Pruning never changes a result: the kernel's hits are those of scoring every posting."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from indexer.bm25.blocks import SCORE_UNITS, Formula, ScoredLists
from indexer.bm25.bounds import BOUND_STEP, BoundsBuilder
from indexer.bm25.heap import Best
from indexer.bm25.scoring import K1, B
from indexer.bm25.topk import NO_THRESHOLD, best_documents
from indexer.bm25.window import WINDOW
from indexer.segment import PostingChunk, PostingLists, SegmentFile, SegmentFileBuilder, write_postings

EVERY = np.empty(0, np.uint8)


class Corpus:
    """Random posting lists of a segment that spans several windows.

    Args:
        directory: for its file.
        seed: of chance.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self.documents = int(chance.integers(1, 3 * WINDOW))
        regions = np.repeat(10 ** chance.uniform(0, 3, 1 + self.documents // 300), 300)  # the maxima of blocks differ
        self.lengths = (regions[: self.documents] * chance.uniform(1, 3, self.documents)).astype(np.uint32)
        if chance.random() < 0.3:
            self.lengths[:] = 100  # so that many documents tie
        self.ranks = chance.permutation(self.documents).astype(np.uint32)
        self.lengths.flags.writeable = self.ranks.flags.writeable = False  # as a mapped file's are
        shares = chance.choice([0.9, 0.5, 0.1, 0.02, 0.001], 6)
        tables = [self._postings(chance, share) for share in shares]
        chunks = [PostingChunk(np.full(len(each), key, np.uint64), each) for key, each in enumerate(tables)]
        self._lists, self._bounds = self._write(directory / f"{seed}.segment", chunks)
        self.tables = tables

    def lists(self) -> ScoredLists:
        """As the kernel takes them."""
        packed = self._lists.packed(np.arange(len(self.tables)))
        return ScoredLists(*packed, *self._bounds, self.lengths, self.ranks)

    def _postings(self, chance: np.random.Generator, share: float) -> np.ndarray:
        count = max(1, int(share * self.documents))
        ordinals = np.sort(chance.choice(self.documents, count, replace=False))
        return np.column_stack((ordinals, chance.geometric(0.4, count))).astype(np.uint32)

    def _write(self, path: Path, chunks: Sequence[PostingChunk]) -> tuple[PostingLists, tuple[np.ndarray, np.ndarray]]:
        bounds = BoundsBuilder(self.lengths)
        with SegmentFileBuilder(path) as builder:
            write_postings(builder, chunks, columns=2, on_lists=bounds.add)
            bounds.write(builder)
            stamp = builder.finish()
        self.average = bounds.average
        file = SegmentFile(path, stamp)
        arrays = (file.array("bm25.block_bounds", np.uint8), file.array("bm25.list_bounds", np.uint8))
        return PostingLists(file, columns=2), arrays


def exhaustive(
    corpus: Corpus, average: float, places: np.ndarray, weights: np.ndarray, allowed: np.ndarray
) -> list[tuple[int, int, int]]:
    """Every match as (score in units, rank, ordinal), best first."""
    sums, matched = np.zeros(corpus.documents, np.int64), np.zeros(corpus.documents, bool)
    for place, weight in zip(places.tolist(), weights.tolist(), strict=True):
        ordinals, tf = corpus.tables[place].T
        norm = K1 * (1 - B) + K1 * B / average * corpus.lengths[ordinals]
        sums[ordinals] += (weight * (K1 + 1) * SCORE_UNITS * tf / (tf + norm)).astype(np.int64)
        matched[ordinals] = True
    if len(allowed):
        matched &= allowed != 0
    found = [(int(sums[each]), int(corpus.ranks[each]), each) for each in np.flatnonzero(matched).tolist()]
    return sorted(found, key=lambda hit: (-hit[0], hit[1]))


def some_allowed(documents: int, seed: int) -> np.ndarray:
    """Many documents, few, or those of one stretch, which can be in no window, or in no block of a list."""
    chance = np.random.default_rng(seed)
    allowed: np.ndarray = (chance.random(documents) < chance.choice([0.5, 0.01, 1.0])).astype(np.uint8)
    if chance.random() < 0.5:
        first, end = sorted(chance.integers(0, documents + 1, 2).tolist())
        allowed[:first] = allowed[end:] = 0
    return allowed


@pytest.mark.parametrize("seed", range(120))
def test_pruned_results_are_exhaustive_results(tmp_path: Path, seed: int) -> None:
    """Hits, their order and the count equal those of scoring all: any weights, filters, averages and limits."""
    chance, corpus = random.Random(seed), Corpus(tmp_path, seed)
    places = np.array(chance.sample(range(len(corpus.tables)), chance.choice([1, 1, 2, 3, 6])), np.int64)
    weights = np.array([chance.choice([chance.uniform(0.01, 12), -0.2, 3.0]) for _ in places])
    average = corpus.average * chance.choice([0.3, 1.0, 1.0, 2.5])
    allowed = EVERY
    if chance.random() < 0.5:
        allowed = some_allowed(corpus.documents, seed)
    limit = min(chance.choice([1, 3, 10, 10_000]), corpus.documents)
    expected = exhaustive(corpus, average, places, weights, allowed)
    threshold = expected[len(expected) // 3][0] if expected and chance.random() < 0.3 else NO_THRESHOLD
    formula = Formula(K1, K1 * (1 - B), K1 * B / average, BOUND_STEP * max(1.0, average / corpus.average))
    best = Best.of(limit)

    total = best_documents(corpus.lists(), formula, places, weights, allowed, threshold, best)

    size = int(best.size[0])
    hits = zip(best.scores[:size].tolist(), best.ranks[:size].tolist(), best.ordinals[:size].tolist(), strict=True)
    assert total == len(expected)
    wanted = [hit for hit in expected if hit[0] >= threshold][:limit]
    assert sorted(hits, key=lambda hit: (-hit[0], hit[1])) == wanted
