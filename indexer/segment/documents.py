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

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import blake2b
from itertools import compress, pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from indexer.errors import GenerationUnusable
from indexer.segment.blocks import BLOCK_BYTES, RECENT, Block
from indexer.segment.dictionary import ABSENT, Dictionary
from indexer.segment.file import SectionWriter, SegmentFile, SegmentFileBuilder
from indexer.segment.ids import IdRow
from indexer.segment.recency import newest_ordinals
from indexer.segment.tombstones import Flags
from streams.change import Position, StoredDocument
from streams.document import DocumentId

_COMPRESSION_LEVEL: Final = 1
_BEYOND_ASCII: Final = np.uint8(0x80)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(StoredDocument)


class DocumentRecord(msgspec.Struct, frozen=True):
    """A document on its way into a segment."""

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
    with _blocks(builder) as blocks:
        for record in records:
            ids.append(record.id.encode())
            positions.append(record.position)
            blocks.add(record.encoded)
    _write_ids(builder, ids)
    partitions = np.array([p.partition for p in positions], np.int32)
    offsets = np.array([p.offset for p in positions], np.int64)
    _write_positions(builder, partitions, offsets, np.array([p.timestamp_ms for p in positions], np.int64))
    return len(ids)


def merge_documents(builder: SegmentFileBuilder, sources: "Sequence[tuple[StoredDocuments, Flags]]") -> int:
    """Write the document sections for documents of several segments, one after another.

    Args:
        builder: of the new segment.
        sources: documents, each with a flag by ordinal, true for those to keep.

    Returns:
        how many there are.
    """
    with _blocks(builder) as blocks:
        for documents, kept in sources:
            documents.copy_blocks(kept, blocks)
    ids = [each for documents, kept in sources for each in documents.encoded_ids(kept)]
    _write_ids(builder, ids)
    columns = zip(*(documents.positions(kept) for documents, kept in sources), strict=True)
    _write_positions(builder, *map(np.concatenate, columns))
    return len(ids)


class StoredDocuments:
    """Reads the document sections of a segment file.

    Whatever reads them raises `SegmentDamaged` where they are not what was written.
    """

    def __init__(self, file: SegmentFile) -> None:
        self._path = file.path
        self._identity = object()
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

    @cached_property
    def newest(self) -> npt.NDArray[np.uint32]:
        """Ordinals of documents that are newer than all others, as `newest_ordinals` has it."""
        return newest_ordinals(self.timestamps)

    def id_row(self) -> IdRow:
        """Where the ids lie, for kernels, which check what they read; valid as long as this object is."""
        text, starts = self._id_text, self._id_starts
        checked = text.pages.checked.ctypes.data
        return IdRow(checked, starts.at, text.at, starts.unchecked.ctypes.data, text.unchecked.ctypes.data)

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
        number = self._ordinals.rows_up_to(ordinal) - 1
        block = RECENT.get(self._identity, number)
        if block is None:
            block = self._block(number)
            RECENT.add(self._identity, number, block)
        return self._decoded(ordinal, block.document(ordinal - self._ordinals.number(number)))

    def all(self, kept: Flags) -> Iterator[tuple[int, StoredDocument]]:
        """The stored documents with a true flag, each behind its ordinal, in order; one block at a time in memory."""
        for block, first, flags in self._blocks_with(kept):
            for ordinal, encoded in compress(enumerate(self._unpack(block), first), flags):
                yield ordinal, self._decoded(ordinal, encoded)

    def copy_blocks(self, kept: Flags, blocks: "BlockWriter") -> None:
        """Write the documents with a true flag into blocks of another segment: whole blocks as they are, if they fit.

        The last block of a segment may be a small one, and is always packed anew: merges must not gather such.
        """
        last = len(self._ordinals) - 2
        for block, _, flags in self._blocks_with(kept):
            if block != last and flags.all() and blocks.may_begin:
                blocks.copy(bytes(self._blocks.row(self._offsets, block)), len(flags))
                continue
            for encoded in compress(self._unpack(block), flags):
                blocks.add(encoded)

    def encoded_ids(self, kept: Flags) -> list[bytes]:
        """The ids of the documents with a true flag, in UTF-8."""
        starts, text = self._id_starts.whole().tolist(), self._id_text.whole().tobytes()
        return [text[starts[ordinal] : starts[ordinal + 1]] for ordinal in np.flatnonzero(kept).tolist()]

    def positions(self, kept: Flags) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Partitions, offsets and timestamps of the records of the documents with a true flag."""
        return self._partitions.whole()[kept], self._record_offsets.whole()[kept], self.timestamps[kept]

    def find(self, ids: Sequence[str], hashes: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
        """Look ids up; an id has one copy in a segment at most.

        Args:
            ids: what to find.
            hashes: `hash_ids(ids)`, which the caller has for all segments.

        Yields:
            place in `ids` and ordinal of each that is here.
        """
        slots, ordinals = self._by_hash.locate(hashes)
        for place, (slot, likely) in enumerate(zip(slots.tolist(), ordinals.tolist(), strict=True)):
            if slot == ABSENT:
                continue
            wanted = ids[place].encode()
            if self._id_bytes(likely) == wanted:
                yield place, likely
                continue
            for ordinal in self._with_hash_from(slot + 1, self._hashes.number(slot)):
                if self._id_bytes(ordinal) == wanted:
                    yield place, ordinal

    def _blocks_with(self, kept: Flags) -> Iterator[tuple[int, int, Flags]]:
        """Each block with a document that has a true flag, its first document, and the flags of all of them."""
        for block, (first, end) in enumerate(pairwise(self._ordinals.whole().tolist())):
            if kept[first:end].any():
                yield block, first, kept[first:end]

    def _with_hash_from(self, slot: int, value: int) -> Iterator[int]:
        """The documents whose id has a hash, from a slot on."""
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
        return self._block(block).documents()

    def _block(self, number: int) -> Block:
        packed = self._blocks.row(self._offsets, number)
        count = self._ordinals.number(number + 1) - self._ordinals.number(number)
        try:
            return Block.unpacked(packed, count)
        except ValueError as exc:
            raise GenerationUnusable(f"{self._path}: document block {number} {exc}") from exc

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


class BlockWriter:
    """Packs encoded documents into compressed blocks.

    Attributes:
        offsets: where each block begins in the section, and the end of the last.
        ordinals: the first document of each block, and their number.
    """

    def __init__(self, section: SectionWriter) -> None:
        self._section = section
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.offsets = [0]
        self.ordinals = [0]

    @property
    def may_begin(self) -> bool:
        """Whether a block may begin here: what waits is none, or fills at least half of the one before."""
        return not self._waiting or self._waiting_bytes >= BLOCK_BYTES // 2

    def copy(self, packed: bytes, documents: int) -> None:
        """Append a block that is packed already."""
        self.flush()
        self._append(packed, documents)

    def add(self, encoded: bytes) -> None:
        """Append a document."""
        self._waiting.append(encoded)
        self._waiting_bytes += len(encoded)
        if self._waiting_bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Make a block of what waits."""
        if not self._waiting:
            return
        lengths = np.array([len(encoded) for encoded in self._waiting], "<u4").tobytes()
        self._append(isal_zlib.compress(lengths + b"".join(self._waiting), _COMPRESSION_LEVEL), len(self._waiting))
        self._waiting = []
        self._waiting_bytes = 0

    def _append(self, packed: bytes, documents: int) -> None:
        self._section.write(packed)
        self.offsets.append(self._section.size)
        self.ordinals.append(self.ordinals[-1] + documents)


@contextmanager
def _blocks(builder: SegmentFileBuilder) -> Iterator[BlockWriter]:
    """Takes the documents of a segment."""
    with builder.section("document.blocks", np.uint8) as section:
        blocks = BlockWriter(section)
        yield blocks
        blocks.flush()
    builder.add("document.offsets", np.array(blocks.offsets, np.uint64))
    builder.add("document.ordinals", np.array(blocks.ordinals, np.uint32))


def _write_positions(
    builder: SegmentFileBuilder,
    partitions: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    timestamps: npt.NDArray[np.int64],
) -> None:
    builder.add("position.partition", partitions)
    builder.add("position.offset", offsets)
    builder.add("position.timestamp", timestamps)


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
