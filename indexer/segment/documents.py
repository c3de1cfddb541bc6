"""The documents of a segment: stored JSON in small compressed blocks, ids, positions, and the way from id to document.

A document is known inside its segment by its ordinal, 0 for the first. Sections:

    document.blocks     zlib; inside, the length of each document (uint32 each), then their JSON
    document.offsets    where each block begins, and the end of the last                  uint64, blocks + 1
    document.ordinals   the first document of each block, and their number                uint32, blocks + 1
    id.text, id.starts  the ids in UTF-8, one after another; where each begins            uint8; uint64, documents + 1
    id.hashes           64-bit BLAKE2b of each id, sorted                                 uint64
    id.ordinals         the document that each hash stands for                            uint32
    position.*          partition, offset and timestamp of the record it came from        int32, int64, int64
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.errors import GenerationUnusable
from indexer.segment.dictionary import ABSENT, Dictionary
from indexer.segment.file import SectionWriter, SegmentFile, SegmentFileBuilder
from streams.change import Position, StoredDocument
from streams.document import DocumentId

BLOCK_BYTES: Final = 16_384
"""A block is closed once it holds this much JSON: what a fetch of one document unpacks, beyond the document itself."""

_COMPRESSION_LEVEL: Final = 1
_BEYOND_ASCII: Final = np.uint8(0x80)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(StoredDocument)


class DocumentRecord(msgspec.Struct, frozen=True):
    """A document on its way into a segment, encoded already so that a merge does not parse it."""

    id: DocumentId
    position: Position
    encoded: bytes


def encode_record(stored: StoredDocument) -> DocumentRecord:
    """Encode a document for `write_documents`."""
    return DocumentRecord(stored.document.id, stored.position, _encoder.encode(stored))


def write_documents(builder: SegmentFileBuilder, records: Iterable[DocumentRecord]) -> int:
    """Write the document sections; the blocks are streamed, ids and positions are held in memory until the end.

    Returns:
        how many documents there were.
    """
    ids: list[bytes] = []
    positions: list[Position] = []
    with builder.section("document.blocks", np.uint8) as section:
        blocks = _BlockWriter(section)
        for record in records:
            ids.append(record.id.encode())
            positions.append(record.position)
            blocks.add(record.encoded)
        blocks.flush()
    builder.add("document.offsets", np.array(blocks.offsets, np.uint64))
    builder.add("document.ordinals", np.array(blocks.ordinals, np.uint32))
    _write_ids(builder, ids)
    builder.add("position.partition", np.array([p.partition for p in positions], np.int32))
    builder.add("position.offset", np.array([p.offset for p in positions], np.int64))
    builder.add("position.timestamp", np.array([p.timestamp_ms for p in positions], np.int64))
    return len(ids)


class StoredDocuments:
    """Reads the document sections of a segment file.

    Whatever reads them raises `SegmentDamaged` where they are not what was written.
    """

    def __init__(self, file: SegmentFile) -> None:
        self._path = file.path
        self._blocks = file.section("document.blocks", np.uint8)
        self._offsets = file.section("document.offsets", np.uint64)
        self._ordinals = file.section("document.ordinals", np.uint32)
        self._id_text = file.section("id.text", np.uint8)
        self._id_starts = file.section("id.starts", np.uint64)
        self._hashes = file.section("id.hashes", np.uint64)
        self._hash_ordinals = file.section("id.ordinals", np.uint32)
        self._by_hash = Dictionary(self._hashes, self._hash_ordinals)
        self._partitions = file.section("position.partition", np.int32)
        self._record_offsets = file.section("position.offset", np.int64)
        self._timestamps = file.section("position.timestamp", np.int64)
        self._check_lengths()

    def __len__(self) -> int:
        return len(self._timestamps)

    @property
    def timestamps(self) -> npt.NDArray[np.int64]:
        """Of the records, milliseconds since the epoch, by ordinal, int64."""
        return self._timestamps.whole()

    def id(self, ordinal: int) -> DocumentId:
        """The id of a document."""
        return DocumentId(str(self._id_bytes(ordinal), "utf-8"))

    def id_texts(self, ordinals: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
        """The ids in UTF-8 and where each begins, for a kernel that reads those of some documents, and no other."""
        starts = self._id_starts.whole()
        self._id_text.touch_rows(starts, ordinals)
        return self._id_text.unchecked, starts

    @cached_property
    def has_ascii_ids(self) -> bool:
        """Whether no id has a character beyond ASCII."""
        return not (self._id_text.whole() & _BEYOND_ASCII).any()

    def position(self, ordinal: int) -> Position:
        """Where the document's record was read."""
        return Position(
            self._partitions.number(ordinal), self._record_offsets.number(ordinal), self._timestamps.number(ordinal)
        )

    def document(self, ordinal: int) -> StoredDocument:
        """The stored document, as far as the engine leaves it to this layer (see `SegmentEngine.stripped`)."""
        block = int(np.searchsorted(self._ordinals.whole(), ordinal, side="right")) - 1
        return self._decoded(ordinal, self._unpack(block)[ordinal - self._ordinals.number(block)])

    def all(self, kept: npt.NDArray[np.bool_]) -> Iterator[tuple[int, StoredDocument]]:
        """The stored documents with a true flag, each behind its ordinal, in order; one block at a time in memory."""
        for ordinal, record in zip(np.flatnonzero(kept).tolist(), self.records(kept), strict=True):
            yield ordinal, self._decoded(ordinal, record.encoded)

    def records(self, kept: npt.NDArray[np.bool_]) -> Iterator[DocumentRecord]:
        """The documents with a true flag, in order, as `write_documents` takes them; one block at a time in memory."""
        for block, first in enumerate(self._ordinals.whole()[:-1].tolist()):
            if not kept[first : self._ordinals.number(block + 1)].any():
                continue
            for ordinal, encoded in enumerate(self._unpack(block), first):
                if kept[ordinal]:
                    yield DocumentRecord(self.id(ordinal), self.position(ordinal), encoded)

    def find(self, ids: Sequence[str], hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """Look ids up; an id has one copy in a segment at most.

        Args:
            ids: what to find.
            hashes: `hash_ids(ids)`, which the caller has for all segments.

        Yields:
            place in `ids` and ordinal of each that is here.
        """
        slots, _ = self._by_hash.locate(hashes)
        for place in np.flatnonzero(slots != ABSENT).tolist():
            wanted = ids[place].encode()
            for ordinal in self._with_hash_from(int(slots[place])):
                if self._id_bytes(ordinal) == wanted:
                    yield place, ordinal

    def _with_hash_from(self, slot: int) -> Iterator[int]:
        """The documents whose id has the hash at a slot, the first that has it."""
        value = self._hashes.number(slot)
        while slot < len(self._hashes) and self._hashes.number(slot) == value:
            yield self._hash_ordinals.number(slot)
            slot += 1

    def _decoded(self, ordinal: int, encoded: bytes) -> StoredDocument:
        try:
            return _decoder.decode(encoded)
        except msgspec.DecodeError as exc:
            raise GenerationUnusable(f"{self._path}: document {ordinal} cannot be read: {exc}") from exc

    def _id_bytes(self, ordinal: int) -> memoryview:
        return self._id_text.row(self._id_starts, ordinal)

    def _unpack(self, block: int) -> list[bytes]:
        packed = self._blocks.row(self._offsets, block)
        count = self._ordinals.number(block + 1) - self._ordinals.number(block)
        try:
            data = zlib.decompress(packed)
            ends = np.cumsum(np.frombuffer(data, "<u4", count), dtype=np.int64) + 4 * count
        except (zlib.error, ValueError) as exc:
            raise GenerationUnusable(f"{self._path}: document block {block} is damaged: {exc}") from exc
        if int(ends[-1]) != len(data):
            raise GenerationUnusable(f"{self._path}: document block {block} has another length than it says")
        starts = [4 * count, *ends.tolist()]
        return [data[start:end] for start, end in pairwise(starts)]

    def _check_lengths(self) -> None:
        count = len(self)
        by_document = (self._partitions, self._record_offsets, self._hashes, self._hash_ordinals)
        lengths = {len(self._id_starts) - 1, *(len(each) for each in by_document)}
        if lengths != {count} or len(self._offsets) != len(self._ordinals):
            raise GenerationUnusable(f"{self._path}: document sections of different lengths")
        ends = (self._ordinals.last() == count, self._offsets.last() == len(self._blocks))
        if not all(ends) or self._id_starts.last() != len(self._id_text):
            raise GenerationUnusable(f"{self._path}: document sections that do not fit each other")


def hash_ids(ids: Iterable[str]) -> npt.NDArray[np.uint64]:
    """64-bit BLAKE2b of each id, as uint64."""
    return _hash_bytes([text.encode() for text in ids])


class _BlockWriter:
    """Packs encoded documents into compressed blocks."""

    def __init__(self, section: SectionWriter) -> None:
        self._section = section
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.offsets = [0]
        self.ordinals = [0]

    def add(self, encoded: bytes) -> None:
        self._waiting.append(encoded)
        self._waiting_bytes += len(encoded)
        if self._waiting_bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        lengths = np.array([len(encoded) for encoded in self._waiting], "<u4").tobytes()
        self._section.write(zlib.compress(lengths + b"".join(self._waiting), _COMPRESSION_LEVEL))
        self.offsets.append(self._section.size)
        self.ordinals.append(self.ordinals[-1] + len(self._waiting))
        self._waiting = []
        self._waiting_bytes = 0


def _write_ids(builder: SegmentFileBuilder, ids: Sequence[bytes]) -> None:
    with builder.section("id.text", np.uint8) as section:
        section.write(b"".join(ids))
    starts = np.zeros(len(ids) + 1, np.uint64)
    np.cumsum([len(each) for each in ids], out=starts[1:])
    hashes = _hash_bytes(ids)
    order = np.argsort(hashes, kind="stable")
    builder.add("id.starts", starts)
    builder.add("id.hashes", hashes[order])
    builder.add("id.ordinals", order.astype(np.uint32))


def _hash_bytes(ids: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    digests = b"".join(blake2b(each, digest_size=8).digest() for each in ids)
    return np.frombuffer(digests, "<u8").astype(np.uint64)
