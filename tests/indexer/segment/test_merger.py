"""Merging in the background: commits go on beside it, and nothing that arrives meanwhile is lost."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from indexer.errors import WriterFailed
from indexer.generation import Generation
from indexer.segment import Segment, SegmentedWriter, SegmentFileBuilder
from indexer.segment.merging import FACTOR, MAX_SEGMENTS
from streams.watermark import Watermark
from tests.indexer.contract.changes import delete, upsert, watermark_after
from tests.indexer.segment.engine import LengthEngine, Lengths, bodies, new_generation, open_reader, open_writer
from tests.indexer.segment.held_merges import PATIENCE, HeldEngine


class FailingEngine(LengthEngine):
    """An engine that cannot merge."""

    def merge(self, builder: SegmentFileBuilder, sources: Sequence[Segment[Lengths]]) -> None:
        """Fail when it is about to be done."""
        super().merge(builder, sources)
        raise OSError("no space left for a merge")


def _commit_each(writer: SegmentedWriter[Lengths], count: int, *, start: int = 0) -> None:
    for number in range(start, start + count):
        change = upsert(f"d{number}", f"body {number}", offset=number)
        writer.apply([change])
        writer.commit(watermark_after(change))


def _merging(tmp_path: Path) -> tuple[Generation, HeldEngine, SegmentedWriter[Lengths]]:
    """A writer in the middle of its first merge."""
    generation, engine = new_generation(tmp_path), HeldEngine()
    writer = SegmentedWriter(generation, engine)
    _commit_each(writer, FACTOR)
    assert engine.begun.wait(PATIENCE)
    return generation, engine, writer


def test_commits_go_on_during_a_merge(tmp_path: Path) -> None:
    """While a merge runs, commits are made and seen, and its file is not taken for a stray."""
    generation, engine, writer = _merging(tmp_path)
    reader = open_reader(generation)
    _commit_each(writer, 5, start=FACTOR)
    assert len(reader.current().segments) == FACTOR + 5
    engine.may_go_on.set()
    writer.settle()
    assert len(reader.current().segments) == 6
    assert list(bodies(reader)) == [f"d{number}" for number in range(FACTOR + 5)]
    assert len(list(generation.directory.glob("*.segment"))) == 6
    writer.close()


def test_deletions_during_a_merge_are_carried_over(tmp_path: Path) -> None:
    """What is deleted or replaced while it is merged stays so, committed before the merge ends or with it."""
    generation, engine, writer = _merging(tmp_path)
    reader = open_reader(generation)
    writer.apply([delete("d2", offset=20), upsert("d4", "newer", offset=21)])
    writer.commit(Watermark(offsets={0: 22}))
    writer.apply([delete("d7", offset=22)])
    engine.may_go_on.set()
    writer.settle()
    expected = {f"d{number}": f"body {number}" for number in (0, 1, 3, 5, 6)} | {"d4": "newer"}
    assert bodies(reader) == expected
    assert [segment.entry.documents for segment in reader.current().segments] == [FACTOR, 1]
    writer.close()
    assert bodies(open_reader(generation)) == expected


def test_everything_is_deleted_during_a_merge(tmp_path: Path) -> None:
    """A merged segment without a live document is dropped, and its file removed."""
    generation, engine, writer = _merging(tmp_path)
    writer.apply([delete(f"d{number}", offset=20 + number) for number in range(FACTOR)])
    writer.commit(Watermark(offsets={0: 40}))
    engine.may_go_on.set()
    writer.settle()
    assert open_reader(generation).current().segments == ()
    assert list(generation.directory.glob("*.segment")) == []
    writer.close()


def test_commit_waits_for_merges_when_there_are_too_many_segments(tmp_path: Path) -> None:
    """Segments stay bounded: the commit that would exceed the bound is not made before the merge is done."""
    generation, engine, writer = _merging(tmp_path)
    reader = open_reader(generation)
    _commit_each(writer, MAX_SEGMENTS - FACTOR, start=FACTOR)
    assert len(reader.current().segments) == MAX_SEGMENTS
    threading.Timer(0.05, engine.may_go_on.set).start()
    _commit_each(writer, 1, start=MAX_SEGMENTS)
    assert engine.may_go_on.is_set()
    assert len(reader.current().segments) <= MAX_SEGMENTS
    assert list(bodies(reader)) == [f"d{number}" for number in range(MAX_SEGMENTS + 1)]
    writer.close()


def test_failed_merge_fails_the_writer(tmp_path: Path) -> None:
    """The reason reaches whoever uses the writer, and another writer goes on from the last commit."""
    generation = new_generation(tmp_path)
    writer = SegmentedWriter(generation, FailingEngine())
    _commit_each(writer, FACTOR)
    with pytest.raises(WriterFailed, match="no space left for a merge"):
        writer.settle()
    with pytest.raises(WriterFailed, match="open another one"):
        writer.apply([])
    again = open_writer(generation)
    _commit_each(again, 1, start=FACTOR)
    again.settle()
    assert list(bodies(open_reader(generation))) == [f"d{number}" for number in range(FACTOR + 1)]
    again.close()


def test_closing_gives_up_a_merge(tmp_path: Path) -> None:
    """Closing ends the merge and its thread; what it wrote is removed by the next writer, and nothing is lost."""
    before = set(threading.enumerate())
    generation, engine, writer = _merging(tmp_path)
    threading.Timer(0.05, engine.may_go_on.set).start()
    writer.close()
    assert not {thread for thread in set(threading.enumerate()) - before if thread.name.startswith(("merge", "scrub"))}
    assert len(list(generation.directory.glob("*.segment"))) == FACTOR + 1
    again = open_writer(generation)
    assert len(list(generation.directory.glob("*.segment"))) == FACTOR
    assert len(bodies(open_reader(generation))) == FACTOR
    again.close()
