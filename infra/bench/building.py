"""Builds an index and measures what that took."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from indexer.generation import Generation, open_or_create_live
from indexer.local_engine import LocalEngine
from indexer.segment import SegmentedWriter
from indexer.writer import BlockingWriter
from streams.change import Position, Upsert
from streams.document import Document
from streams.settings import Settings
from streams.watermark import Watermark

MEGABYTE: Final = 1_000_000

_BATCH_DOCUMENTS: Final = 2_000
"""As many as an indexer commits at a time when it catches up."""

_BATCH_BYTES: Final = 32 * 1024 * 1024


class Build(msgspec.Struct, frozen=True):
    """What building an index took.

    Attributes:
        documents: how many it holds.
        text_bytes: their titles and bodies in UTF-8.
        seconds: of the clock, the reading of the files left out.
        cpu_seconds: of all threads of the process together.
        index_bytes: on disk; None where the index is only in memory.
    """

    documents: int
    text_bytes: int
    seconds: float
    cpu_seconds: float
    index_bytes: int | None = None

    @property
    def megabytes_per_core_second(self) -> float:
        """Text that one core indexes in a second, 10^6 bytes."""
        return self.text_bytes / MEGABYTE / max(self.cpu_seconds, 1e-9)

    @property
    def index_to_text(self) -> float | None:
        """Size of the index, the text's being 1."""
        return None if self.index_bytes is None else self.index_bytes / max(self.text_bytes, 1)


class Stopwatch:
    """Adds up the time that blocks of code take.

    Attributes:
        seconds: of the clock.
        cpu_seconds: of all threads of the process together.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of the block."""
        clock, processor = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - clock
            self.cpu_seconds += time.process_time() - processor


def build_index(engine: LocalEngine, root: Path, documents: Iterable[Document]) -> tuple[Generation, Build]:
    """Index documents as an indexer does that catches up: in batches, each one committed; and wait until it is at rest.

    Args:
        engine: one of ours.
        root: of its files; holds no index of it yet.
        documents: to index.
    """
    generation = open_or_create_live(root, engine.settings(Settings()))
    watch = Stopwatch()
    with watch.running():
        writer = engine.writer(generation)
    count = text_bytes = 0
    try:
        for batch in batches(documents):
            with watch.running():
                _write(writer, batch, first_offset=count)
            count += len(batch)
            text_bytes += sum(map(text_size, batch))
        if isinstance(writer, SegmentedWriter):
            with watch.running():
                writer.rest()
    finally:
        with watch.running():
            writer.close()
    size = folder_size(generation.directory)
    return generation, Build(count, text_bytes, watch.seconds, watch.cpu_seconds, size)


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Group documents as an indexer groups records: by number and by size."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += text_size(document)
        if len(batch) >= _BATCH_DOCUMENTS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def text_size(document: Document) -> int:
    """Title and body, bytes of UTF-8."""
    return len(document.title.encode()) + len(document.body.encode())


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _write(writer: BlockingWriter, batch: list[Document], *, first_offset: int) -> None:
    positions = (Position(0, offset, offset) for offset in range(first_offset, first_offset + len(batch)))
    writer.apply([Upsert(document, position) for document, position in zip(batch, positions, strict=False)])
    following = first_offset + len(batch)
    writer.commit(Watermark(cluster="bench", offsets={0: following}, timestamp_ms=following))
