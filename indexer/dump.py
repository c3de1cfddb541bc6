"""All that an index holds, one document after the other, with the position of the record that each came from.

For whoever compares an index with the topic, or with another index: what a document says is told by a hash of it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final, NamedTuple, Protocol

import msgspec

from streams.change import StoredDocument
from streams.document import Document, DocumentId
from streams.watermark import Watermark

BATCH_DOCUMENTS: Final = 1_000

_HASH_BYTES: Final = 8

_encoder = msgspec.json.Encoder(order="deterministic")


class DumpedDocument(NamedTuple):
    """One document of an index.

    Attributes:
        id: the document.
        partition: of the record that it came from.
        offset: of that record.
        content: `content_hash` of what the index keeps.
    """

    id: DocumentId
    partition: int
    offset: int
    content: int


class BlockingDump(msgspec.Struct, frozen=True):
    """One snapshot of an index on local files, for one thread.

    Attributes:
        watermark: how far the snapshot has read.
        documents: its documents, in no order, read as they are asked for; raises `BackendUnavailable` where files
            are damaged.
    """

    watermark: Watermark
    documents: Iterator[DumpedDocument]


class IndexDump(Protocol):
    """One snapshot of an index.

    Attributes:
        watermark: how far the snapshot has read.
    """

    watermark: Watermark

    def batches(self) -> AsyncIterator[Sequence[DumpedDocument]]:
        """Its documents, in no order, a few of them in memory at a time; once.

        Raises:
            BackendUnavailable: the index cannot answer now, or is damaged.
        """
        ...


class ThreadedDump:
    """An `IndexDump` around a blocking one, read in other threads, one at a time."""

    def __init__(self, dump: BlockingDump) -> None:
        self.watermark = dump.watermark
        self._documents = dump.documents

    async def batches(self) -> AsyncIterator[Sequence[DumpedDocument]]:
        """As `IndexDump.batches`."""
        while batch := await asyncio.to_thread(lambda: list(islice(self._documents, BATCH_DOCUMENTS))):
            yield batch


def content_hash(document: Document) -> int:
    """64-bit BLAKE2b of a document's JSON, the names in its metadata in order."""
    return int.from_bytes(blake2b(_encoder.encode(document), digest_size=_HASH_BYTES).digest(), "little")


def dumped(stored: StoredDocument) -> DumpedDocument:
    """A stored document, as a dump has it."""
    position = stored.position
    return DumpedDocument(stored.document.id, position.partition, position.offset, content_hash(stored.document))
