"""Terms are found in every segment that has them, whatever their keys, and counted where their documents are live."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.bm25.blocks import term_of
from indexer.bm25.bounds import BoundsBuilder
from indexer.bm25.postings import Bm25Contents
from indexer.segment import ABSENT, PostingChunk, SegmentFile, SegmentFileBuilder, write_postings
from indexer.segment.packing import LEAST_DENSE
from tests.indexer.bm25.looking_up import located_terms, table_without_ids

DOCUMENTS = 3 * LEAST_DENSE

KEYS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 300),  # nothing like hashes: all of them at one end
    st.integers(2**64 - 300, 2**64 - 1),
)


def contents(path: Path, lists: Mapping[int, np.ndarray]) -> Bm25Contents:
    """A segment with the ordinals of some keys."""
    path.unlink(missing_ok=True)
    lengths, bounds = np.full(DOCUMENTS, 10, np.uint32), BoundsBuilder(np.full(DOCUMENTS, 10, np.uint32))
    tables = {key: np.column_stack((each, np.ones_like(each))) for key, each in sorted(lists.items())}
    chunks = [PostingChunk(np.full(len(each), key, np.uint64), each) for key, each in tables.items()]
    with SegmentFileBuilder(path) as builder:
        write_postings(builder, chunks, columns=2, documents=DOCUMENTS, on_lists=bounds.add)
        bounds.write(builder)
        builder.add("bm25.lengths", lengths)
        builder.add("bm25.ranks", np.arange(DOCUMENTS, dtype=np.uint32))
        stamp = builder.finish()
    return Bm25Contents(SegmentFile(path, stamp))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sets(KEYS, max_size=400), min_size=1, max_size=3), st.sets(KEYS, min_size=1, max_size=20))
def test_any_keys(tmp_path_factory: pytest.TempPathFactory, held: list[set[int]], asked: set[int]) -> None:
    """Each key is found where it is and only there, clustered as they may be."""
    folder = tmp_path_factory.getbasetemp()
    one = np.array([3], np.uint32)
    segments = [
        contents(folder / f"keys{number}.segment", dict.fromkeys(keys, one)) for number, keys in enumerate(held)
    ]
    wanted = sorted(asked | {min(each) for each in held if each} | {max(each) for each in held if each})
    located, frequencies = located_terms(table_without_ids(segments, [None] * len(held)), np.array(wanted, np.uint64))
    found = located[:, :, 0] != ABSENT
    assert found.tolist() == [[key in keys for key in wanted] for keys in held]
    assert frequencies == found.sum(axis=0).tolist()


def test_a_thousand_hashes(tmp_path: Path) -> None:
    """Keys as they are in life are all found, with their lists."""
    chance = np.random.default_rng(3)
    keys = np.unique(chance.integers(0, 2**64 - 1, 1_000, np.uint64))
    lists = {int(key): np.arange(1 + number % 5, dtype=np.uint32) for number, key in enumerate(keys)}
    located, frequencies = located_terms(table_without_ids([contents(tmp_path / "a.segment", lists)], [None]), keys)
    terms = [term_of(row, 0.0) for row in located[0]]
    assert [term.postings for term in terms] == frequencies == [len(lists[int(key)]) for key in keys]
    assert [term.start for term in terms[1:]] == [term.end for term in terms[:-1]]


@pytest.mark.parametrize("postings", [1, LEAST_DENSE - 1, LEAST_DENSE, DOCUMENTS])
def test_deleted_documents_do_not_count(tmp_path: Path, postings: int) -> None:
    """Whether a list is dense or not, only live documents are counted."""
    chance = np.random.default_rng(postings)
    ordinals = np.sort(chance.choice(DOCUMENTS, postings, replace=False)).astype(np.uint32)
    live = chance.random(DOCUMENTS) < 0.5
    table = table_without_ids([contents(tmp_path / "a.segment", {7: ordinals})], [live])
    assert located_terms(table, np.array([7], np.uint64))[1] == [int(np.count_nonzero(live[ordinals]))]
