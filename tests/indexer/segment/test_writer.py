"""The writer of segments: what it keeps, what it removes, and what it does when something fails."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from indexer.errors import GenerationUnusable, WriterFailed, WriterLocked
from indexer.segment import SegmentFile, SnapshotReader
from indexer.segment.manifest import MANIFEST
from indexer.segment.merging import MAX_SEGMENTS
from streams.change import Change
from streams.watermark import Watermark
from tests.disk.limit import largest_file
from tests.indexer.contract.changes import delete, upsert, watermark_after
from tests.indexer.segment.engine import LengthEngine, Lengths, bodies, new_generation, open_reader, open_writer


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """A second writer is refused until the first one is closed."""
    generation = new_generation(tmp_path)
    writer = open_writer(generation)
    with pytest.raises(WriterLocked):
        open_writer(generation)
    writer.close()
    open_writer(generation).close()


def test_full_buffer_is_flushed_but_not_visible(tmp_path: Path) -> None:
    """A batch beyond the buffer is written early, supersedes itself, and still appears with its commit only."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation, buffer_bytes=2_000), open_reader(generation)
    writer.apply([upsert(f"d{number % 10}", f"body {number} " + "x" * 400, offset=number) for number in range(60)])
    writer.apply([delete("d3", offset=60)])
    writer.apply([upsert("d3", "too old", offset=59)])
    assert len(list(generation.directory.glob("*.segment"))) > 3
    assert bodies(reader) == {}
    writer.commit(Watermark(offsets={0: 61}))
    assert {name: body.split()[1] for name, body in bodies(reader).items()} == {
        f"d{number % 10}": str(number) for number in range(50, 60) if number != 53
    }
    writer.close()


def test_merging_keeps_order_and_bounds_segments(tmp_path: Path) -> None:
    """After many commits there are few segments, and documents are in the order in which they came."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation), open_reader(generation)
    for number in range(200):
        change = upsert(f"d{number}", "body", offset=number)
        writer.apply([change])
        writer.commit(watermark_after(change))
        assert len(reader.current().segments) <= MAX_SEGMENTS
    writer.settle()
    assert len(reader.current().segments) < 10
    assert list(bodies(reader)) == [f"d{number}" for number in range(200)]
    writer.close()


def test_deleted_documents_are_reclaimed(tmp_path: Path) -> None:
    """A segment that is mostly deleted is rewritten, one that is all deleted is dropped, and their files go."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation), open_reader(generation)
    writer.apply([upsert(f"d{number}", "body", offset=number) for number in range(10)])
    writer.commit(Watermark(offsets={0: 10}))
    writer.apply([delete(f"d{number}", offset=10 + number) for number in range(6)])
    writer.commit(Watermark(offsets={0: 16}))
    writer.settle()
    assert reader.current().manifest.watermark.offsets == {0: 16}
    assert [segment.entry.documents for segment in reader.current().segments] == [4]
    assert set(bodies(reader)) == {"d6", "d7", "d8", "d9"}
    writer.apply([delete(f"d{number}", offset=20 + number) for number in range(6, 10)])
    writer.commit(Watermark(offsets={0: 30}))
    assert reader.current().segments == ()
    assert sorted(path.name for path in generation.directory.iterdir()) == ["generation.json", MANIFEST, "writer.lock"]
    writer.close()


def test_reader_keeps_its_snapshot(tmp_path: Path) -> None:
    """A snapshot stays whole while newer commits replace and remove its files."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation), open_reader(generation)
    writer.apply([upsert("a", "old", offset=0)])
    writer.commit(Watermark(offsets={0: 1}))
    old = reader.current()
    writer.apply([upsert("a", "new", offset=1)])
    writer.commit(Watermark(offsets={0: 2}))
    assert bodies(reader) == {"a": "new"}
    assert old.segments[0].documents.document(0).document.body == "old"
    assert old.manifest.watermark.offsets == {0: 1}
    writer.close()


def test_reader_opens_only_what_is_new(tmp_path: Path) -> None:
    """The next snapshot shares the segments that are still the same, deletions aside."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation), open_reader(generation)
    writer.apply([upsert(name, "body", offset=at) for at, name in enumerate("abc")])
    writer.commit(Watermark(offsets={0: 3}))
    before = reader.current()
    writer.apply([upsert("a", "again", offset=3)])
    writer.commit(Watermark(offsets={0: 4}))
    after = reader.current()
    assert reader.current() is after
    assert after.segments[0].file is before.segments[0].file
    assert before.segments[0].live is None
    assert after.segments[0].live is not None
    writer.close()


def test_strays_of_a_crash_are_removed(tmp_path: Path) -> None:
    """What a killed writer left behind is gone once the next one has opened, and does no harm before."""
    generation = new_generation(tmp_path)
    writer = open_writer(generation)
    writer.apply([upsert("a", "body", offset=0)])
    writer.commit(Watermark(offsets={0: 1}))
    writer.close()
    strays = [generation.directory / name for name in ("00000002.segment", "00000001-00000002.deleted")]
    for stray in strays:
        stray.write_bytes(b"half a file")
    (generation.directory / f".{MANIFEST}.tmp").write_bytes(b"half a manifest")
    assert bodies(open_reader(generation)) == {"a": "body"}
    writer = open_writer(generation)
    assert not any(stray.exists() for stray in strays)
    writer.apply([upsert("b", "body", offset=1)])
    writer.commit(Watermark(offsets={0: 2}))
    assert set(bodies(open_reader(generation))) == {"a", "b"}
    writer.close()


def test_failed_writer_is_of_no_further_use(tmp_path: Path) -> None:
    """After a fault every call is refused and the lock is free, so that the caller opens another writer and replays."""
    generation = new_generation(tmp_path)
    writer = open_writer(generation)
    change = upsert("a", "body " * 5_000, offset=0)
    writer.apply([change])
    with largest_file(100), pytest.raises(WriterFailed):
        writer.commit(watermark_after(change))
    for call in (writer.watermark, lambda: writer.apply([change]), lambda: writer.commit(Watermark())):
        with pytest.raises(WriterFailed, match="open another one"):
            call()
    writer.close()
    again = open_writer(generation)
    assert again.watermark().offsets == {}
    again.apply([change])
    again.commit(watermark_after(change))
    assert set(bodies(open_reader(generation))) == {"a"}
    again.close()


def test_disk_full_at_any_size(tmp_path: Path) -> None:
    """Wherever a commit runs out of space, readers see the old state or the new one, and a replay mends all."""
    generation = new_generation(tmp_path)
    expected: dict[str, str] = {}
    offset, outcomes = 0, set()
    for size in range(0, 2_400, 24):
        changes: list[Change] = [
            upsert(f"d{(size + at) % 9}", f"version {size} {os.urandom(40 * at).hex()}", offset=offset + at)
            for at in range(4)
        ]
        changes.append(delete(f"d{size % 7}", offset=offset + 4))
        before = dict(expected)
        for change in changes:
            expected.pop(change.id, None)
            if hasattr(change, "document"):
                expected[change.id] = change.document.body
        writer = open_writer(generation)
        try:
            with largest_file(size):
                writer.apply(changes)
                writer.commit(watermark_after(*changes))
            outcomes.add("committed")
            assert bodies(open_reader(generation)) == expected
        except WriterFailed:
            outcomes.add("failed")
            assert bodies(open_reader(generation)) == before
        writer.close()
        replay = open_writer(generation)
        replay.apply(changes)
        replay.commit(watermark_after(*changes))
        replay.close()
        assert bodies(open_reader(generation)) == expected
        offset += 5
    assert outcomes == {"committed", "failed"}


def test_lost_manifest(tmp_path: Path) -> None:
    """Segments without a manifest are not taken for an empty index."""
    generation = new_generation(tmp_path)
    writer = open_writer(generation)
    writer.apply([upsert("a", "body", offset=0)])
    writer.commit(Watermark(offsets={0: 1}))
    writer.close()
    (generation.directory / MANIFEST).unlink()
    with pytest.raises(GenerationUnusable, match="manifest is gone"):
        open_writer(generation)
    with pytest.raises(GenerationUnusable, match="manifest is gone"):
        open_reader(generation)


def test_newer_manifest_is_always_noticed(tmp_path: Path) -> None:
    """Inode numbers are used again by the file system, but never while a reader could mistake them."""
    generation = new_generation(tmp_path)
    writer, reader = open_writer(generation), open_reader(generation)
    for commit in range(1, 100):
        writer.commit(Watermark(offsets={0: commit}))
        assert reader.current().manifest.watermark.offsets == {0: commit}
    writer.close()


class CommitsMeanwhile(LengthEngine):
    """An engine for a reader, which lets something happen when the first segment was opened."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = [meanwhile]

    def open(self, file: SegmentFile) -> Lengths:
        """Open the sections; the first time, after that other thing."""
        while self._meanwhile:
            self._meanwhile.pop()()
        return super().open(file)


def test_reader_follows_while_files_vanish(tmp_path: Path) -> None:
    """A reader that finds files gone which its manifest names takes the newer manifest."""
    generation = new_generation(tmp_path)
    writer = open_writer(generation)
    for at, name in enumerate("abc"):
        writer.apply([upsert(name, "body", offset=at)])
        writer.commit(Watermark(offsets={0: at + 1}))

    def delete_all_but_the_first() -> None:
        writer.apply([delete("b", offset=3), delete("c", offset=4)])
        writer.commit(Watermark(offsets={0: 5}))

    reader = SnapshotReader(generation.directory, CommitsMeanwhile(delete_all_but_the_first))
    assert list(bodies(reader)) == ["a"]
    assert reader.current().manifest.watermark.offsets == {0: 5}
    writer.close()
