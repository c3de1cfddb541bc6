"""An index at rest: it becomes one segment, and what is done for that holds no write up."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from indexer.generation import Generation
from indexer.segment import SegmentedWriter, SnapshotReader
from indexer.segment.merging import FACTOR
from indexer.segment.writer import REST_AFTER_SECONDS
from streams.watermark import Watermark
from tests.indexer.contract.changes import delete, upsert, watermark_after
from tests.indexer.segment.engine import Lengths, bodies, new_generation, open_reader, open_writer
from tests.indexer.segment.held_merges import PATIENCE, HeldEngine


class Time:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Time:
    """A clock."""
    return Time()


def _commit_each(writer: SegmentedWriter[Lengths], count: int, *, start: int = 0) -> None:
    for number in range(start, start + count):
        change = upsert(f"d{number}", f"body {number}", offset=number)
        writer.apply([change])
        writer.commit(watermark_after(change))


def _segments(reader: SnapshotReader[Lengths]) -> list[int]:
    return [segment.entry.documents for segment in reader.current().segments]


def _resting(tmp_path: Path, clock: Time, count: int) -> tuple[Generation, HeldEngine, SegmentedWriter[Lengths]]:
    """A writer whose index has so many segments and came to rest, in the middle of the merge for that."""
    generation, engine = new_generation(tmp_path), HeldEngine()
    writer = SegmentedWriter(generation, engine, clock=clock)
    _commit_each(writer, count)
    writer.settle()
    clock.now += REST_AFTER_SECONDS
    writer.check()
    assert engine.begun.wait(PATIENCE)
    return generation, engine, writer


def test_an_index_at_rest_becomes_one_segment(tmp_path: Path, clock: Time) -> None:
    """Some time after the last change; the documents, their order and the watermark stay, and no file is left over."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation, clock=clock), open_reader(generation)
    _commit_each(writer, 5)
    writer.settle()
    clock.now += REST_AFTER_SECONDS - 0.1
    writer.check()
    writer.settle()
    assert _segments(reader) == [1] * 5
    clock.now += 0.1
    writer.check()
    writer.settle()
    assert _segments(reader) == [5]
    assert list(bodies(reader)) == [f"d{number}" for number in range(5)]
    assert reader.current().manifest.watermark.offsets == {0: 5}
    assert len(list(generation.directory.glob("*.segment"))) == 1
    writer.close()


def _check_until(writer: SegmentedWriter[Lengths], done: Callable[[], bool]) -> None:
    """Check as an indexer does that gets no records, only faster."""
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until
        writer.check()


def test_what_was_merged_is_seen_without_a_write(tmp_path: Path, clock: Time) -> None:
    """The checks of an idle writer put it in place; with nothing left to merge they commit no more."""
    generation, engine, writer = _resting(tmp_path, clock, 3)
    reader = open_reader(generation)
    writer.check()
    assert _segments(reader) == [1] * 3
    engine.may_go_on.set()
    _check_until(writer, lambda: _segments(reader) == [3])
    commit = reader.current().manifest.commit
    writer.check()
    writer.check()
    assert reader.current().manifest.commit == commit
    writer.close()


def test_rest_waits_until_all_is_merged(tmp_path: Path) -> None:
    """It leaves what an idle writer leaves, at once."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation), open_reader(generation)
    _commit_each(writer, FACTOR + 3)
    writer.rest()
    assert _segments(reader) == [FACTOR + 3]
    writer.close()


def test_uncommitted_changes_are_no_rest(tmp_path: Path, clock: Time) -> None:
    """What was applied and not committed stays unseen, however long that takes."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation, clock=clock), open_reader(generation)
    _commit_each(writer, 2)
    writer.settle()
    writer.apply([upsert("new", "body", offset=2)])
    clock.now += 10 * REST_AFTER_SECONDS
    for _ in range(3):
        writer.check()
        writer.settle()
    assert _segments(reader) == [1, 1]
    assert "new" not in bodies(reader)
    writer.close()


def test_writes_go_on_during_a_merge_at_rest(tmp_path: Path, clock: Time) -> None:
    """It is finished beside them, and what was deleted meanwhile stays so."""
    generation, engine, writer = _resting(tmp_path, clock, 4)
    reader = open_reader(generation)
    writer.apply([delete("d1", offset=4), upsert("d2", "newer", offset=5)])
    writer.commit(Watermark(offsets={0: 6}))
    assert bodies(reader) == {"d0": "body 0", "d3": "body 3", "d2": "newer"}
    engine.may_go_on.set()
    writer.settle()
    assert _segments(reader) == [4, 1]
    assert bodies(reader) == {"d0": "body 0", "d3": "body 3", "d2": "newer"}
    writer.close()


def test_a_merge_at_rest_is_given_up_for_one_that_is_needed(tmp_path: Path, clock: Time) -> None:
    """Once there are as many segments as merge anyway; nothing is lost, and its file goes."""
    generation, engine, writer = _resting(tmp_path, clock, 3)
    reader = open_reader(generation)
    _commit_each(writer, FACTOR - 3, start=3)
    engine.may_go_on.set()
    writer.settle()
    assert engine.merges == [3, FACTOR]
    assert _segments(reader) == [FACTOR]
    assert list(bodies(reader)) == [f"d{number}" for number in range(FACTOR)]
    assert len(list(generation.directory.glob("*.segment"))) == 1
    writer.close()


def test_closing_gives_up_a_merge_at_rest(tmp_path: Path, clock: Time) -> None:
    """Its thread ends, and the next writer finds all documents."""
    generation, engine, writer = _resting(tmp_path, clock, 3)
    threading.Timer(0.05, engine.may_go_on.set).start()
    writer.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("merge")]
    again = open_writer(generation)
    assert _segments(open_reader(generation)) == [1] * 3
    again.close()
