"""Merging documents: whole blocks move as they are, and what is left of others is packed anew."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from indexer.segment import SegmentFile, SegmentFileBuilder
from indexer.segment.blocks import BLOCK_BYTES
from indexer.segment.documents import (
    StoredDocuments,
    encode_record,
    hash_ids,
    merge_documents,
    write_documents,
)
from streams.change import Position, StoredDocument
from tests.indexer.contract.changes import upsert

SOURCES, DOCUMENTS = 4, 60


def _documents(path: Path, stored: Sequence[StoredDocument]) -> StoredDocuments:
    with SegmentFileBuilder(path) as builder:
        assert write_documents(builder, map(encode_record, stored)) == len(stored)
        return StoredDocuments(SegmentFile(path, builder.finish()))


def _merged(path: Path, sources: Sequence[StoredDocuments], kept: Sequence[Sequence[bool]]) -> StoredDocuments:
    flags = [np.array(each, np.bool_) for each in kept]
    with SegmentFileBuilder(path) as builder:
        count = merge_documents(builder, list(zip(sources, flags, strict=True)))
        assert count == sum(map(sum, kept))
        return StoredDocuments(SegmentFile(path, builder.finish()))


def _all(documents: StoredDocuments) -> list[StoredDocument]:
    return [stored for _, stored in documents.all(np.ones(len(documents), np.bool_))]


def _stored(number: int, size: int) -> StoredDocument:
    change = upsert(f"d\u00e9{number}", random.Random(number).randbytes(size // 2).hex(), offset=number)
    return StoredDocument(change.document, Position(number % 3, number, 10 * number))


@pytest.mark.parametrize("share_kept", [0.0, 0.3, 0.97, 1.0])
@pytest.mark.parametrize("size", [10, 3_000, BLOCK_BYTES + 1])
def test_merged_documents_are_those_that_are_kept(tmp_path: Path, share_kept: float, size: int) -> None:
    """All of each document goes along, in order, however few are left of a block, and is found by its id."""
    chance = random.Random(size)
    stored = [
        [_stored(DOCUMENTS * i + k, chance.randrange(2 * size)) for k in range(DOCUMENTS)] for i in range(SOURCES)
    ]
    kept = [[chance.random() < share_kept for _ in each] for each in stored]
    sources = [_documents(tmp_path / str(i), each) for i, each in enumerate(stored)]
    merged = _merged(tmp_path / "merged", sources, kept)
    expected = [
        document
        for of_source, flags in zip(stored, kept, strict=True)
        for document, keep in zip(of_source, flags, strict=True)
        if keep
    ]
    assert _all(merged) == expected
    assert [merged.document(ordinal) for ordinal in range(len(merged))] == expected
    assert [merged.position(ordinal) for ordinal in range(len(merged))] == [each.position for each in expected]
    ids = [each.document.id for each in expected]
    assert [merged.id(ordinal) for ordinal in range(len(merged))] == ids
    assert sorted(merged.find(ids, hash_ids(ids))) == [(place, place) for place in range(len(ids))]


def test_whole_blocks_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last block of each source is unpacked where nothing is deleted."""
    sources = [
        _documents(tmp_path / str(i), [_stored(DOCUMENTS * i + k, BLOCK_BYTES) for k in range(DOCUMENTS)])
        for i in range(SOURCES)
    ]
    unpacked: list[int] = []
    unpack = StoredDocuments._unpack

    def noting(documents: StoredDocuments, block: int) -> list[bytes]:
        unpacked.append(block)
        return unpack(documents, block)

    monkeypatch.setattr(StoredDocuments, "_unpack", noting)
    _merged(tmp_path / "merged", sources, [[True] * DOCUMENTS] * SOURCES)
    assert unpacked == [DOCUMENTS - 1] * SOURCES


def test_small_blocks_do_not_gather(tmp_path: Path) -> None:
    """Segments of a small document each make full blocks, merged again and again."""
    documents = _documents(tmp_path / "0", [_stored(0, 1_000)])
    for number in range(1, 60):
        one = _documents(tmp_path / f"{number}", [_stored(number, 1_000)])
        documents = _merged(tmp_path / f"merged-{number}", [documents, one], [[True] * number, [True]])
    assert len(documents._offsets) - 1 <= 60 * 1_300 // BLOCK_BYTES + 1


def test_ids_with_the_same_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can prevent it: whoever chooses ids may look for such."""
    monkeypatch.setattr("indexer.segment.documents._hash_bytes", lambda ids: np.zeros(len(ids), np.uint64))
    stored = [_stored(number, 10) for number in range(4)]
    documents = _documents(tmp_path / "0", stored)
    ids = [*reversed([each.document.id for each in stored]), "unknown"]
    assert list(documents.find(ids, hash_ids(ids))) == [(place, 3 - place) for place in range(4)]
