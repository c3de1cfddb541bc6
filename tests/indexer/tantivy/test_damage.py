"""What a Tantivy writer does about damage that Tantivy itself would never notice."""

import threading
import time
from pathlib import Path

import pytest

from indexer.errors import GenerationUnusable, WriterFailed
from indexer.generation import Generation
from indexer.scrub import GoOn
from indexer.tantivy import TantivyWriter
from indexer.tantivy import writer as writer_module
from streams.watermark import Watermark
from tests.indexer.tantivy.documents import upsert

PATIENCE = 40.0


@pytest.fixture
def written(generation: Generation) -> Generation:
    """A generation with a few hundred documents."""
    writer = TantivyWriter(generation)
    writer.apply([upsert(f"d{number}", f"words of number {number}", offset=number) for number in range(300)])
    writer.commit(Watermark(offsets={0: 300}))
    writer.close()
    return generation


def file_of(generation: Generation, extension: str) -> Path:
    """One of Tantivy's files."""
    return next((generation.directory / "segments").glob(f"*.{extension}"))


def flip(path: Path, at: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def write_on(writer: TantivyWriter) -> None:
    """Commit one change after the other."""
    for offset in range(300, 100_000):
        writer.apply([upsert("busy", "words", offset=offset)])
        writer.commit(Watermark(offsets={0: offset + 1}))


def checked(writer: TantivyWriter) -> None:
    """Ask for what was found, as an indexer does while nothing comes."""
    patience = time.monotonic() + PATIENCE
    while time.monotonic() < patience:
        writer.check()


@pytest.mark.parametrize("extension", ["fast", "fieldnorm", "idx", "pos", "store", "term"])
def test_a_flipped_byte_ends_the_writer_by_the_name_of_the_file(written: Generation, extension: str) -> None:
    """In whichever file, though nothing reads it; the lock is free for whoever mends it."""
    path = file_of(written, extension)
    flip(path, path.stat().st_size // 3)
    with pytest.raises(GenerationUnusable, match=path.name):
        checked(TantivyWriter(written))
    with pytest.raises(GenerationUnusable, match=path.name):
        checked(TantivyWriter(written, lock_timeout=0))


def test_a_busy_writer_notices_too(written: Generation) -> None:
    """It never asks what was found, because there is always something to write."""
    path = file_of(written, "pos")
    flip(path, 3)
    writer = TantivyWriter(written)
    with pytest.raises(GenerationUnusable, match=path.name):
        write_on(writer)
    with pytest.raises(WriterFailed, match="open another one"):
        writer.watermark()


def test_what_it_trips_over_is_looked_at(written: Generation) -> None:
    """Damage that comes after all was read through, to what the next batch has to read."""
    writer = TantivyWriter(written)
    checked_once(writer)
    path = file_of(written, "store")
    with path.open("r+b") as file:  # in place: the writer has it mapped
        file.write(b"\xff" * (path.stat().st_size * 3 // 4))
    with pytest.raises(GenerationUnusable, match=path.name):
        writer.apply([upsert(f"d{number}", "again", offset=number + 1) for number in range(200)])


def test_a_sound_index_is_read_through_once_and_in_peace(written: Generation) -> None:
    """Nothing is found, and nothing runs on."""
    writer = TantivyWriter(written)
    checked_once(writer)
    assert writer.watermark().offsets == {0: 300}
    writer.close()


def test_closing_leaves_no_thread_behind(written: Generation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is something left to read."""

    def endless(_: Generation, go_on: GoOn) -> None:
        while True:
            go_on()

    monkeypatch.setattr(writer_module, "inspect", endless)
    before = set(threading.enumerate())
    opened = TantivyWriter(written)
    assert {thread.name for thread in set(threading.enumerate()) - before} >= {"scrub"}
    opened.close()
    assert set(threading.enumerate()) <= before


def checked_once(writer: TantivyWriter) -> None:
    """Wait until all was read through."""
    patience = time.monotonic() + PATIENCE
    while any(thread.name == "scrub" for thread in threading.enumerate()):
        assert time.monotonic() < patience
        writer.check()
    writer.check()
