"""Nearest neighbours among few documents and among many, after updates: as many as there are, and the right ones."""

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt
import pytest
from pgvector.asyncpg import register_vector

from indexer.deadline import Deadline
from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.filtering import Filter, label
from indexer.semantic import SemanticWriter, nearest
from indexer.semantic.nearest import MIN_CANDIDATES, nearest_passing
from indexer.semantic.schema import SemanticGeneration, live_generation
from streams.change import Position, Upsert
from streams.document import Document, DocumentId
from tests.indexer.semantic.documents import put

DOCUMENTS = 4_000
UPDATED = DOCUMENTS * 3 // 10
DIMENSIONS = 384
QUERIES = 10
EVERY = {"all": 1, "half": 2, "tenth": 10, "hundredth": 100, "thousandth": 1_000}
"""Tags, and of how many documents one has it."""

RECALL = {"all": 0.95, "half": 0.95, "tenth": 0.95, "hundredth": 0.95, "thousandth": 0.9, "nobody": 1}

Vectors = npt.NDArray[np.float32]


class RandomEmbedder(EmbedderProcess):
    """The real one, but for its vectors, which have any direction: nothing is harder for an index."""

    random = np.random.default_rng(11)

    async def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Vectors:  # noqa: ARG002 - takes no time
        """Another direction for each text, every time."""
        return directions(self.random, len(texts))


def directions(random: np.random.Generator, count: int) -> Vectors:
    """Shape (count, dimensions), of unit length."""
    vectors = random.standard_normal((count, DIMENSIONS)).astype(np.float32)
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def tags(number: int) -> tuple[str, ...]:
    """Of the document with this number."""
    return tuple(tag for tag, every in EVERY.items() if number % every == 0)


def passing(tag: str) -> set[str]:
    """The documents that have a tag now: the updated ones have taken over those of their neighbours."""
    return {f"d{number:04d}" for number in range(DOCUMENTS) if tag in tags(number + (number < UPDATED))}


def tagged(tag: str) -> Filter:
    """The documents with a tag."""
    return Filter((frozenset({label("tags", tag)}),))


def documents(numbers: Iterable[int], *, version: int) -> list[Upsert]:
    """Documents with their tags: those of another number in the first version, the final ones in the second."""
    return [
        Upsert(
            Document(
                id=DocumentId(f"d{number:04d}"),
                body=f"words of document {number}, version {version}",
                tags=tags(number + version),
            ),
            Position(0, version * DOCUMENTS + number, 1_700_000_000_000),
        )
        for number in numbers
    ]


@pytest.fixture
async def index(database_dsn: str, model_path: Path) -> AsyncIterator[tuple[Any, SemanticGeneration]]:
    """A connection, in a transaction, to an index of which three tenths were updated and not vacuumed."""
    embedder = await RandomEmbedder.start(EmbedderOptions(model_path))
    writer = await SemanticWriter.open(database_dsn, embedder)
    connection = await asyncpg.connect(database_dsn)
    try:
        await put(writer, *documents(range(DOCUMENTS), version=0))
        await put(writer, *documents(range(UPDATED), version=1))
        await register_vector(connection)
        generation = await live_generation(connection)
        assert generation is not None
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection, generation
    finally:
        await connection.close()
        await writer.close()
        await embedder.close()


async def distances(connection: Any, generation: SemanticGeneration, query: Vectors) -> dict[str, float]:
    """Of all documents, whatever the index says: without an order it is not asked."""
    rows = await connection.fetch(f"SELECT document_id, embedding <=> $1 AS distance FROM {generation.passages}", query)  # noqa: S608 - a validated name
    return {row["document_id"]: row["distance"] for row in rows}


async def check(connection: Any, generation: SemanticGeneration, tag: str) -> set[int]:
    """Hold counts and recall of a filter against the truth; gives the totals of ten hits."""
    expected = passing(tag)
    queries = directions(np.random.default_rng(12), QUERIES)
    right, totals = 0, set()
    for query in queries:
        far = await distances(connection, generation, query)
        best = set(sorted(expected, key=far.__getitem__)[:10])
        for limit in (10, 300):
            total, hits = await nearest_passing(connection, generation, query, limit, only=tagged(tag))
            names = [hit.id for hit in hits]
            assert len(names) == len(set(names)) == min(limit, len(expected))
            assert expected.issuperset(names)
            assert total >= len(names)
            if limit == 10:
                right += len(best.intersection(names))
                totals.add(total)
    assert right >= RECALL[tag] * QUERIES * min(10, len(expected))
    return totals


async def test_counts_and_recall_of_filters(
    index: tuple[Any, SemanticGeneration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many pass, as many are returned as there are, up to the limit, and of the best ten nearly all."""
    for tag in EVERY:
        assert await check(*index, tag) == {len(passing(tag))}, "a small table is read whole"
    monkeypatch.setattr(nearest, "_EXACT_BELOW_BYTES", 0)
    assert await check(*index, "all") == {MIN_CANDIDATES}, "many passages: the index"
    assert await check(*index, "tenth") == {len(passing("tenth"))}, "few passages: all compared"
    monkeypatch.setattr(nearest, "_FEW", 0)
    for tag in ("half", "tenth"):
        assert await check(*index, tag) == {MIN_CANDIDATES}, "the scan of the index goes on until it has enough"
    for tag in ("hundredth", "thousandth"):
        assert await check(*index, tag) == {len(passing(tag))}, "the index cannot give enough: all compared"
    assert await check(*index, "nobody") == {0}, "nor is there anything to compare"
    monkeypatch.setattr(nearest, "_MANY_PASS", nearest._MANY_PASS | {"hnsw.ef_search": 5, "hnsw.max_scan_tuples": 1})
    assert await check(*index, "tenth") == {len(passing("tenth"))}, "a scan that was cut short counts for nothing"
