"""Document frequencies that are kept from commit to commit are those that counting all anew gives."""

import random
from pathlib import Path

import pytest

from indexer.analysis import get_analyzer
from indexer.bm25 import Bm25Writer, generation_settings
from indexer.bm25.postings import Bm25Engine
from indexer.generation import Generation, open_or_create_live
from indexer.segment import PostingLists, SnapshotReader
from indexer.segment.merging import FACTOR
from streams.change import Change
from tests.indexer.contract.changes import delete, upsert, watermark_after

WORDS = ("circuit", "breaker", "openCircuit", "snake_case", "x86", "東京都", "the")


def _generation(root: Path) -> Generation:
    return open_or_create_live(root, generation_settings())


def _engine() -> Bm25Engine:
    return Bm25Engine(get_analyzer("english"))


def _commit(writer: Bm25Writer, *changes: Change) -> None:
    writer.apply(changes)
    writer.commit(watermark_after(*changes))


def _assert_exact(generation: Generation) -> None:
    """What a commit says is what an engine says that has counted nothing before."""
    snapshot = SnapshotReader(generation.directory, _engine()).current()
    assert snapshot.manifest.summary == _engine().summarise(snapshot.segments)


@pytest.mark.parametrize("seed", range(4))
def test_every_commit_counts_exactly(tmp_path: Path, seed: int) -> None:
    """Through additions, replacements, deletions and merges, and a new writer."""
    chance, generation = random.Random(seed), _generation(tmp_path)
    writer = Bm25Writer(generation)
    for offset in range(0, 12 * FACTOR, 4):
        ids = chance.sample(range(2 * offset + 4), 4)
        texts = [" ".join(chance.choices(WORDS, k=chance.randrange(1, 6))) + f" only{offset}" for _ in ids]
        changes: list[Change] = [
            delete(f"d{each}", offset=offset + place)
            if chance.random() < 0.2
            else upsert(f"d{each}", text, offset=offset + place)
            for place, (each, text) in enumerate(zip(ids, texts, strict=True))
        ]
        _commit(writer, *changes)
        _assert_exact(generation)
        if chance.random() < 0.2:
            writer.settle()
            _assert_exact(generation)
        if chance.random() < 0.1:
            writer.close()
            writer = Bm25Writer(generation)
    writer.close()


def test_a_commit_that_only_adds_counts_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier commits have counted is not counted again."""
    generation = _generation(tmp_path)
    writer = Bm25Writer(generation)
    _commit(writer, upsert("a", "circuit breaker", offset=0), upsert("c", "circuit", offset=1))
    counted: list[int] = []
    lengths = PostingLists.lengths

    def noting(lists: PostingLists, live: None) -> object:
        counted.append(len(lists.keys))
        return lengths(lists, live)

    monkeypatch.setattr(PostingLists, "lengths", noting)
    _commit(writer, upsert("b", "three plain words", offset=2))
    assert counted == [3]
    _commit(writer, upsert("a", "circuit", offset=3))
    assert sorted(counted[1:]) == [1, 2, 3]
    writer.close()
    _assert_exact(generation)
