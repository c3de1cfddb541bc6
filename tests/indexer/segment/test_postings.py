"""Posting lists come back from a segment file as they were written, whatever their gaps, lengths and numbers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.segment import BLOCK, PostingChunk, PostingLists, SegmentFile, SegmentFileBuilder, write_postings
from indexer.segment.packing import DENSE_SHARE, LEAST_DENSE

Table = np.ndarray

LARGEST = np.iinfo(np.uint32).max - 1


def written(
    path: Path,
    lists: dict[int, Table],
    *,
    columns: int,
    documents: int = 0,
    steps: dict[int, np.ndarray] | None = None,
) -> PostingLists:
    """The lists, written to a segment file in chunks of one key each, and opened."""
    path.unlink(missing_ok=True)
    chunks = [PostingChunk(np.full(len(table), key, np.uint64), table) for key, table in sorted(lists.items())]
    with SegmentFileBuilder(path) as builder:
        on_lists = (lambda chunk, _: steps[int(chunk.keys[0])]) if steps else None
        write_postings(builder, chunks, columns=columns, documents=documents, on_lists=on_lists)
        stamp = builder.finish()
    return PostingLists(SegmentFile(path, stamp), columns=columns)


def table(ordinals: list[int], numbers: list[int] | None = None) -> Table:
    """Postings, one column or two."""
    columns = [ordinals] if numbers is None else [ordinals, numbers]
    return np.array(columns, np.uint32).T


@pytest.mark.parametrize("count", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 5])
def test_lists_of_any_length(tmp_path: Path, count: int) -> None:
    """A list is whole with one block, several, a rest or none."""
    expected = table(list(range(7, 7 + 3 * count, 3)), list(range(1, count + 1)))
    lists = written(tmp_path / "a.segment", {5: expected, 9: table([0], [1])}, columns=2)
    assert np.array_equal(lists.find(5), expected)
    assert np.array_equal(lists.find(9), table([0], [1]))
    assert not len(lists.find(6))


def test_the_widest_gaps_and_numbers(tmp_path: Path) -> None:
    """Gaps and numbers of 32 bits fit, in a block and in a rest."""
    dense = list(range(BLOCK - 1))
    expected = table([*dense, LARGEST - 1, LARGEST], [LARGEST] * (BLOCK + 1))
    assert np.array_equal(written(tmp_path / "a.segment", {1: expected}, columns=2).find(1), expected)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 2**64 - 1), st.sets(st.integers(0, LARGEST), min_size=1, max_size=400)), st.data()
)
def test_any_lists(tmp_path_factory: pytest.TempPathFactory, sets: dict[int, set[int]], data: st.DataObject) -> None:
    """What is written is found, and `lengths` counts the documents that are kept."""
    numbers = st.integers(1, LARGEST)
    lists = {key: table(sorted(each), [data.draw(numbers)] * len(each)) for key, each in sets.items()}
    opened = written(tmp_path_factory.getbasetemp() / "any.segment", lists, columns=2)
    for key, expected in lists.items():
        assert np.array_equal(opened.find(key), expected)
    assert opened.lengths(None).tolist() == [len(lists[key]) for key in sorted(lists)]


def test_lengths_of_what_is_live(tmp_path: Path) -> None:
    """Deleted documents do not count."""
    lists = written(tmp_path / "a.segment", {1: table([0, 2, 4]), 2: table([1]), 3: table([0, 1, 2])}, columns=1)
    live = np.array([True, False, False, True, True])
    assert lists.lengths(live).tolist() == [2, 0, 1]


@pytest.mark.parametrize("documents", [1, 31, 127, 128, 129, 1_000, 5_000, 5_003])
def test_dense_lists_have_flags_and_rows(tmp_path: Path, documents: int) -> None:
    """Behind such a list stand, for each document, a bit, its step and its count, behind others nothing."""
    chance = np.random.default_rng(documents)
    counts = {LEAST_DENSE - 1, LEAST_DENSE, documents // DENSE_SHARE, documents // DENSE_SHARE + 1, documents}
    ordinals = {
        count: np.sort(chance.choice(documents, count, replace=False)) for count in counts if 0 < count <= documents
    }
    tables = {
        count: table(each.tolist(), chance.choice([1, 254, 255, 256, 70_000], count).tolist())
        for count, each in ordinals.items()
    }
    steps = {count: chance.integers(1, 256, count).astype(np.uint8) for count in tables}
    plain = written(tmp_path / "plain.segment", tables, columns=2)
    lists = written(tmp_path / "dense.segment", tables, columns=2, documents=documents, steps=steps)
    for place, count in enumerate(sorted(tables)):
        assert np.array_equal(lists.find(count), tables[count])
        end, packed = int(lists.mapped.starts[place + 1]), int(np.diff(plain.mapped.starts)[place])
        words = lists.mapped.words[int(lists.mapped.starts[place]) + packed : end]
        if count < LEAST_DENSE or count * DENSE_SHARE < documents:
            assert not len(words)
            continue
        flags, in_steps, in_counts = np.split(words, np.cumsum([-(-documents // 32), -(-documents // 4)]))
        assert (
            np.flatnonzero(np.unpackbits(flags.view(np.uint8), bitorder="little")).tolist() == ordinals[count].tolist()
        )
        assert len(in_steps) == len(in_counts) == -(-documents // 4)
        for row, expect in ((in_steps, steps[count]), (in_counts, np.minimum(tables[count][:, 1], 255))):
            expected = np.zeros(4 * len(row), np.uint8)
            expected[ordinals[count]] = expect
            assert np.array_equal(row.view(np.uint8), expected)
