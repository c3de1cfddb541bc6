"""Readers check every page before they read it for the first time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexer.backend import Query
from indexer.bm25 import Bm25Searcher, Bm25Writer, generation_settings
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, WriterFailed
from indexer.generation import Generation, open_or_create_live
from indexer.segment import SegmentedWriter, SegmentFile, SegmentFileBuilder
from indexer.segment.pages import PAGE_BYTES, SegmentDamaged
from indexer.segment.suspects import mark_suspect
from streams.watermark import Watermark
from tests.indexer.contract.changes import upsert
from tests.indexer.segment.engine import Lengths, new_generation, open_writer

_DAMAGES = 250


@pytest.mark.parametrize("engine", ["bm25", "native"])
def test_damage_is_never_served(engine: str, tmp_path: Path) -> None:
    """Whatever byte, page or end of a file is lost, answers are right or refused, and the process lives."""
    command = [sys.executable, "-m", "tests.indexer.segment.damaged_reading", engine, str(tmp_path), str(_DAMAGES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-4_000:]


def _written(path: Path, numbers: np.ndarray) -> SegmentFile:
    with SegmentFileBuilder(path) as builder:
        builder.add("first", np.arange(9, dtype=np.uint32))
        builder.add("numbers", numbers)
        stamp = builder.finish()
    return SegmentFile(path, stamp)


def test_only_the_pages_that_are_read_are_checked(tmp_path: Path) -> None:
    """Damage that nobody asks for disturbs nobody, and the error names file, page and section."""
    path = tmp_path / "1.segment"
    numbers = np.arange(4 * PAGE_BYTES // 8, dtype=np.uint64)
    section = _written(path, numbers).section("numbers", np.uint64)
    with path.open("r+b") as file:
        file.seek(2 * PAGE_BYTES + 5)
        file.write(b"\xff")
    per_page = PAGE_BYTES // 8
    assert np.array_equal(section.part(0, per_page), numbers[:per_page])
    assert section.last() == numbers[-1]
    for read in (section.whole, lambda: section.number(2 * per_page), lambda: section.part(per_page, 3 * per_page)):
        with pytest.raises(SegmentDamaged, match=r"1\.segment: page 2 of 'numbers'"):
            read()


@pytest.mark.parametrize("count", [0, 1, PAGE_BYTES // 8 - 16, PAGE_BYTES // 8, PAGE_BYTES])
def test_files_of_any_size_are_read_back(tmp_path: Path, count: int) -> None:
    """Whether or not a page is full, and whether or not there is one."""
    numbers = np.arange(count, dtype=np.uint64)
    file = _written(tmp_path / "1.segment", numbers)
    file.verify()
    assert np.array_equal(file.array("numbers", np.uint64), numbers)


def test_a_file_cut_short_behind_a_reader_is_an_error(tmp_path: Path) -> None:
    """What was not read yet is missed, without a signal."""
    path = tmp_path / "1.segment"
    section = _written(path, np.arange(PAGE_BYTES, dtype=np.uint64)).section("numbers", np.uint64)
    with path.open("r+b") as file:
        file.truncate(2 * PAGE_BYTES)
    with pytest.raises(SegmentDamaged, match="ends at byte"):
        section.last()


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    """A generation of one segment."""
    generation = new_generation(tmp_path)
    writer = open_writer(generation)
    writer.apply([upsert("d1", "body", offset=0)])
    writer.commit(Watermark(offsets={0: 1}))
    writer.close()
    return generation


def _suspect(generation: Generation) -> Path:
    path = next(generation.directory.glob("*.segment"))
    mark_suspect(generation.directory, SegmentDamaged(path, "says a reader"))
    return path


def test_reader_that_stumbles_refuses_and_tells_the_writer(tmp_path: Path) -> None:
    """The backend fails by name, and the segment is marked."""
    generation = open_or_create_live(tmp_path, generation_settings())
    writer = Bm25Writer(generation)
    writer.apply([upsert(f"d{number}", "body", offset=number) for number in range(20_000)])
    writer.commit(Watermark(offsets={0: 20_000}))
    writer.close()
    path = next(generation.directory.glob("*.segment"))
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data.replace(b"d10000d10001", b"e10000e10001"))
    searcher = Bm25Searcher(generation)
    with pytest.raises(BackendUnavailable, match=path.name):
        searcher.search(Query("body", 10, Deadline.after(20)))
    assert [mark.name for mark in generation.directory.glob("*.suspect")] == [f"{path.name}.suspect"]


def _checked(writer: SegmentedWriter[Lengths]) -> None:
    writer.check()
    writer.settle()


def test_writer_sets_aside_what_a_reader_stumbled_over(generation: Generation) -> None:
    """Damage that came after the writer's own look is found when it is told to look again."""
    writer = open_writer(generation)
    writer.settle()
    path = _suspect(generation)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(WriterFailed, match="set aside"):
        _checked(writer)
    assert not path.exists()


def test_writer_does_not_believe_a_mark(generation: Generation) -> None:
    """A segment that was marked and is sound stays where it is, and the mark goes."""
    writer = open_writer(generation)
    writer.settle()
    path = _suspect(generation)
    _checked(writer)
    assert path.exists()
    assert list(generation.directory.glob("*.suspect")) == []
    writer.close()
