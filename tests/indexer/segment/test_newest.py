"""The newest documents of segments are those that a look at all of them finds, by a look at a few."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.bm25 import Bm25Searcher, Bm25Writer, generation_settings
from indexer.deadline import Deadline
from indexer.filtering import EVERYTHING, Filter, label
from indexer.generation import open_or_create_live
from indexer.segment import recency
from indexer.segment.recency import newest_ordinals
from streams.change import Delete, Position, Upsert
from streams.document import Document, DocumentId
from tests.indexer.contract.changes import EPOCH_MS, watermark_after

KEPT = 8
COMMITS, IN_A_COMMIT = 5, 40
EVEN = Filter(labels=(frozenset({label("tags", "even")}),))
Expected = list[tuple[str, float]]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few are looked at first that a small index has more."""
    monkeypatch.setattr(recency, "NEWEST", KEPT)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Bm25Searcher, list[Upsert]]]:
    """Some segments, in which some times are those of several documents, and the newest of one segment are gone."""
    random = np.random.default_rng(7)
    generation = open_or_create_live(tmp_path, generation_settings())
    held: dict[str, Upsert] = {}
    with closing(Bm25Writer(generation)) as writer:
        for commit in range(COMMITS):
            times = random.permutation(IN_A_COMMIT) // (3 if commit == 1 else 1) + 30 * commit
            offsets = range(commit * IN_A_COMMIT, (commit + 1) * IN_A_COMMIT)
            put = [_document(offset, int(time)) for offset, time in zip(offsets, times, strict=True)]
            held |= {change.document.id: change for change in put}
            writer.apply(put)
            writer.commit(watermark_after(*put))
        newest = sorted(held.values(), key=lambda change: change.position.timestamp_ms)[-2 * KEPT :]
        gone = [Delete(change.document.id, Position(0, 1_000 + n, EPOCH_MS)) for n, change in enumerate(newest[:-2])]
        writer.apply(gone)
        writer.commit(watermark_after(*gone))
    for change in gone:
        del held[change.id]
    with closing(Bm25Searcher(generation)) as searcher:
        yield searcher, list(held.values())


def _document(offset: int, time: int) -> Upsert:
    tags = ("even",) if offset % 2 == 0 else ("odd",)
    document = Document(id=DocumentId(f"d{offset:03}"), body="words", tags=tags)
    return Upsert(document, Position(0, offset, EPOCH_MS + time))


def _by_a_look_at_all(held: list[Upsert], only: Filter) -> Expected:
    passing = [change for change in held if only is EVERYTHING or "even" in change.document.tags]
    listed = [(change.document.id, float(change.position.timestamp_ms)) for change in passing]
    return sorted(listed, key=lambda hit: (-hit[1], hit[0]))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("only", [EVERYTHING, EVEN], ids=["all", "filtered"])
def test_they_are_those_that_a_look_at_all_finds(index: tuple[Bm25Searcher, list[Upsert]], only: Filter) -> None:
    """However many are asked for, with what is deleted, of the same time, or filtered."""
    searcher, held = index
    expected = _by_a_look_at_all(held, only)
    for limit in range(1, len(held) + 2):
        answer = searcher.newest(limit, Deadline.after(60), only)
        assert ([(hit.id, hit.score) for hit in answer.hits], answer.total) == (expected[:limit], len(expected))


@given(times=st.lists(st.integers(0, 40), max_size=60))
def test_none_of_the_others_is_as_new(times: list[int]) -> None:
    """Nor are they more than were to be looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recency, "NEWEST", KEPT)
        ordinals = newest_ordinals(np.array(times, np.int64)).tolist()
    others = [time for ordinal, time in enumerate(times) if ordinal not in ordinals]
    assert len(ordinals) <= KEPT
    assert not others or all(times[ordinal] > max(others) for ordinal in ordinals)


def test_a_page_does_not_look_at_a_million_times() -> None:
    """What is kept of a segment is small, and it is nearly as many as may be where times differ."""
    times = np.random.default_rng(1).permutation(1_000_000).astype(np.int64)
    ordinals = newest_ordinals(times)
    assert len(ordinals) == recency.NEWEST - 1
    assert times[ordinals].min() == 1_000_000 - recency.NEWEST + 1
