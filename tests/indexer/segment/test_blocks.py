"""Blocks of documents: what they hold, and which of them are kept."""

import struct
import zlib
from array import array
from pathlib import Path

import pytest

from indexer.segment import SegmentFile, SegmentFileBuilder, clear_blocks
from indexer.segment.blocks import RECENT, Block, RecentBlocks
from indexer.segment.documents import StoredDocuments, encode_record, write_documents
from streams.change import StoredDocument
from tests.indexer.contract.changes import upsert

SEGMENT = object()


def _packed(*documents: bytes, lengths: list[int] | None = None) -> bytes:
    lengths = lengths or [len(each) for each in documents]
    return zlib.compress(struct.pack(f"<{len(lengths)}I", *lengths) + b"".join(documents))


def _block(size: int) -> Block:
    return Block(bytes(size - 8), array("Q", [0]))


def _kept(recent: RecentBlocks, *numbers: int) -> list[int]:
    return [number for number in numbers if recent.get(SEGMENT, number) is not None]


def test_a_block_gives_its_documents_one_by_one_and_together() -> None:
    """Empty ones as well."""
    documents = [b"first", b"", b"third"]
    block = Block.unpacked(_packed(*documents), 3)
    assert block.documents() == documents
    assert [block.document(place) for place in range(3)] == documents


@pytest.mark.parametrize(
    ("packed", "complaint"),
    [
        (_packed(b"text")[:-1], "is damaged"),
        (b"no zlib", "is damaged"),
        (zlib.compress(b"\0\0"), "is damaged"),
        (_packed(b"text", lengths=[3]), "another length"),
        (_packed(b"text", lengths=[5]), "another length"),
    ],
)
def test_a_damaged_block_is_refused(packed: bytes, complaint: str) -> None:
    """Whatever its lengths say must be what is there."""
    with pytest.raises(ValueError, match=complaint):
        Block.unpacked(packed, 1)


def test_what_was_not_read_for_the_longest_time_makes_room() -> None:
    """And all of them never take more than they may."""
    recent = RecentBlocks(1_600)
    for number in range(16):
        recent.add(SEGMENT, number, _block(100))
    assert _kept(recent, 1, 0) == [1, 0]
    recent.add(SEGMENT, 16, _block(50))
    recent.add(SEGMENT, 17, _block(51))
    assert _kept(recent, *range(18)) == [0, 1, *range(4, 18)]


def test_a_large_block_pushes_nothing_out() -> None:
    """It is unpacked each time: it would take the place of too many others."""
    recent = RecentBlocks(1_600)
    recent.add(SEGMENT, 0, _block(100))
    recent.add(SEGMENT, 1, _block(101))
    assert _kept(recent, 0, 1) == [0]


def test_a_block_counts_once_however_often_it_was_unpacked() -> None:
    """Two threads may unpack the same one at the same time."""
    recent = RecentBlocks(1_600)
    for number in [*range(15), *[0] * 10, 15]:
        recent.add(SEGMENT, number, _block(100))
    assert _kept(recent, *range(16)) == [*range(16)]


def test_a_block_is_unpacked_once_and_forgotten_when_asked(tmp_path: Path) -> None:
    """Its segment is told from all others, also from one that lies at the same place in the same file."""
    changes = [upsert(f"d{number}", "text", offset=number) for number in range(3)]
    stored = [StoredDocument(each.document, each.position) for each in changes]
    with SegmentFileBuilder(tmp_path / "0") as builder:
        write_documents(builder, map(encode_record, stored))
        file = SegmentFile(tmp_path / "0", builder.finish())
    one, other = StoredDocuments(file), StoredDocuments(file)
    clear_blocks()
    assert [one.document(ordinal) for ordinal in range(3)] == stored
    kept = RECENT.get(one._identity, 0)
    assert kept is not None
    assert one.document(2) == stored[2]
    assert RECENT.get(one._identity, 0) is kept
    assert RECENT.get(other._identity, 0) is None
    clear_blocks()
    assert RECENT.get(one._identity, 0) is None
    assert one.document(1) == stored[1]
