"""What a process that lives for months holds of files that are gone: Tantivy remembers them until it is opened anew."""

import ctypes
import gc

import pytest
import tantivy

from indexer.errors import WatermarkConflict
from indexer.generation import Generation
from indexer.tantivy import TantivySearcher, TantivyWriter
from indexer.tantivy.schema import open_index
from tests.indexer.tantivy.documents import found, upsert, watermark_after

COMMITS = 200
MOST_GROWN = 150_000
"""Bytes; 200 commits are 270,000 in a writer and 340,000 in a searcher that are never opened anew."""

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library is not glibc 2.33")


class _Heap(ctypes.Structure):
    """`struct mallinfo2`, see mallinfo(3)."""

    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefg"] + [
        ("used", ctypes.c_size_t),
        ("free", ctypes.c_size_t),
        ("top", ctypes.c_size_t),
    ]


def _used_bytes() -> int:
    gc.collect()
    look = ctypes.CDLL(None).mallinfo2
    look.restype = _Heap
    return int(look().used)


def _update(writer: TantivyWriter, offset: int) -> None:
    change = upsert("a", f"word{offset}", offset=offset)
    writer.apply([change])
    writer.commit(watermark_after([change]))


def test_a_searcher_forgets_files_that_are_gone(generation: Generation) -> None:
    """And sees each commit, the one included before which it is opened anew."""
    writer = TantivyWriter(generation)
    _update(writer, 0)
    searcher = TantivySearcher(generation, reopened_after=20)
    for offset in range(1, COMMITS):
        _update(writer, offset)
        assert found(searcher, f"word{offset}") == ["a"]
    searcher.close()
    before = _used_bytes()
    del searcher
    assert before - _used_bytes() < MOST_GROWN
    writer.close()


def test_a_writer_forgets_files_that_are_gone(generation: Generation) -> None:
    """And knows the version of each document, and what it has read, when it was opened anew."""
    writer = TantivyWriter(generation, renewed_after=20)
    for offset in range(10):
        _update(writer, offset)
    grown = -_held_by(writer)
    writer = TantivyWriter(generation, renewed_after=20)
    for offset in range(10, 10 + COMMITS):
        _update(writer, offset)
        writer.apply([upsert("a", "stale", offset=offset - 1)])
    assert writer.watermark() == watermark_after([upsert("a", "", offset=offset)])
    searcher = TantivySearcher(generation)
    assert found(searcher, f"word{offset}") == ["a"]
    assert found(searcher, "stale") == []
    assert searcher.stats().documents == 1
    grown += _held_by(writer)
    assert grown < MOST_GROWN


def test_a_writer_notices_what_another_one_commits_while_it_is_opened_anew(
    generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is free for a moment; it does not go on from what it knew before."""
    writer = TantivyWriter(generation, renewed_after=1)
    _update(writer, 0)

    def open_behind_another(opened: Generation) -> tantivy.Index:
        monkeypatch.undo()
        other = TantivyWriter(opened)
        _update(other, 5)
        other.close()
        return open_index(opened)

    monkeypatch.setattr("indexer.tantivy.writer.open_index", open_behind_another)
    with pytest.raises(WatermarkConflict, match="another writer committed"):
        writer.apply([upsert("a", "older", offset=1)])
    assert found(TantivySearcher(generation), "word5") == ["a"]
    TantivyWriter(generation, lock_timeout=0).close()


def _held_by(writer: TantivyWriter) -> int:
    """Bytes that closing it frees."""
    before = _used_bytes()
    writer.close()
    return before - _used_bytes()
