"""Documents with vectors and tags, three tenths of them updated, and what a filtered search gives of them."""

import random
import sysconfig
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import msgspec
import numpy as np
import numpy.typing as npt
from pgvector.asyncpg import register_vector

from indexer.deadline import Deadline
from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.filtering import Filter, label
from indexer.semantic import SemanticWriter
from indexer.semantic.nearest import nearest_passing
from indexer.semantic.schema import SemanticGeneration, live_generation
from streams.change import Position, Upsert
from streams.document import Document, DocumentId
from tests.indexer.semantic.documents import put

DIMENSIONS = 384
QUERIES = 10
EVERY = {"all": 1, "half": 2, "tenth": 10, "hundredth": 100, "thousandth": 1_000}
"""Tags, and of how many documents one has it."""

RECALL = {"all": 0.95, "half": 0.95, "tenth": 0.95, "hundredth": 0.95, "thousandth": 0.9, "nobody": 1.0}
"""What must be found of the best ten."""

Vectors = npt.NDArray[np.float32]

_BEST = 10
_LIMITS = (_BEST, 300)
_AT_ONCE = 1_000
_PASSAGE_WORDS = 8


class Material(Protocol):
    """What documents and queries are made of."""

    async def embedder(self, model_path: Path) -> EmbedderProcess:
        """The one that makes the vectors of documents."""

    def body(self, number: int, version: int) -> str:
        """Of a document; another one in each version."""

    async def queries(self, embedder: EmbedderProcess) -> Vectors:
        """Shape (queries, dimensions), of unit length."""


class AnyDirection:
    """Vectors that have any direction: each is about as far from all others, and nothing is harder for an index."""

    async def embedder(self, model_path: Path) -> EmbedderProcess:
        """The real one, but for its vectors."""
        return await _RandomEmbedder.start(EmbedderOptions(model_path))

    def body(self, number: int, version: int) -> str:
        """Any text: its vector does not depend on it."""
        return f"words of document {number}, version {version}"

    async def queries(self, embedder: EmbedderProcess) -> Vectors:  # noqa: ARG002 - it would give any others
        """The same in every run."""
        return directions(np.random.default_rng(12), QUERIES)


class StandardLibrary:
    """Passages of Python's own standard library, and the model's vectors of them.

    Args:
        documents: how many there are.
    """

    def __init__(self, documents: int) -> None:
        passages = list(dict.fromkeys(_passages()))
        random.Random(13).shuffle(passages)
        self._documents = documents
        self._passages = passages
        self._queries = passages[2 * documents :][:QUERIES]
        assert len(self._queries) == QUERIES, "the library is too short"

    async def embedder(self, model_path: Path) -> EmbedderProcess:
        """The real one."""
        return await EmbedderProcess.start(EmbedderOptions(model_path))

    def body(self, number: int, version: int) -> str:
        """A passage that no other document has in any version."""
        return self._passages[version * self._documents + number]

    async def queries(self, embedder: EmbedderProcess) -> Vectors:
        """Of passages that no document has."""
        vectors = [(await embedder.embed_query(text, Deadline.after(60)))[0] for text in self._queries]
        return np.stack(vectors)


class _RandomEmbedder(EmbedderProcess):
    random = np.random.default_rng(11)

    async def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> Vectors:  # noqa: ARG002 - takes no time
        """Another direction for each text, every time."""
        return directions(self.random, len(texts))


def directions(random: np.random.Generator, count: int) -> Vectors:
    """Shape (count, dimensions), of unit length."""
    vectors = random.standard_normal((count, DIMENSIONS)).astype(np.float32)
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


class Found(msgspec.Struct, frozen=True):
    """What the searches with a tag gave.

    Attributes:
        recall: the share of the best ten that was among the first ten.
        totals: that were told with the first ten.
        faults: searches that gave another number of documents than they should, the same twice, or a wrong one.
    """

    recall: float
    totals: set[int]
    faults: int


class Index(msgspec.Struct, frozen=True):
    """An index of such documents.

    Attributes:
        connection: to its database, in a transaction.
        generation: of the index.
        queries: shape (queries, dimensions), what it is searched for.
    """

    connection: Any
    generation: SemanticGeneration
    queries: Vectors


class Tagged:
    """So many documents, and who has which tag: the updated ones have taken over those of their neighbours.

    Args:
        documents: how many.
        material: that they are made of.
    """

    def __init__(self, documents: int, material: Material) -> None:
        self.documents = documents
        self.updated = documents * 3 // 10
        self._material = material

    @asynccontextmanager
    async def index(self, database_dsn: str, model_path: Path) -> AsyncIterator[Index]:
        """An index of them that was not vacuumed since the updates."""
        embedder = await self._material.embedder(model_path)
        writer = await SemanticWriter.open(database_dsn, embedder)
        connection = await asyncpg.connect(database_dsn)
        try:
            generation = await live_generation(connection)
            assert generation is not None
            for table in (generation.documents, generation.passages):  # PostgreSQL would do it in the middle of them
                await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            for version, count in enumerate((self.documents, self.updated)):
                for first in range(0, count, _AT_ONCE):
                    await put(writer, *self._versions(range(first, min(first + _AT_ONCE, count)), version))
            await register_vector(connection)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield Index(connection, generation, await self._material.queries(embedder))
        finally:
            await connection.close()
            await writer.close()
            await embedder.close()

    def passing(self, tag: str) -> set[str]:
        """The documents that have a tag now."""
        numbers = range(self.documents)
        return {_name(number) for number in numbers if tag in _tags(number + (number < self.updated))}

    async def search(self, index: Index, tag: str) -> Found:
        """Search among those with a tag, and hold what comes against all distances."""
        connection, generation = index.connection, index.generation
        expected = self.passing(tag)
        right, faults, totals = 0, 0, set()
        for query in index.queries:
            far = await _distances(connection, generation, query)
            best = set(sorted(expected, key=far.__getitem__)[:_BEST])
            for limit in _LIMITS:
                total, hits = await nearest_passing(connection, generation, query, limit, only=tagged(tag))
                names = [hit.id for hit in hits]
                whole = len(names) == len(set(names)) == min(limit, len(expected)) and total >= len(names)
                faults += not (whole and expected.issuperset(names))
                if limit == _BEST:
                    right += len(best.intersection(names))
                    totals.add(total)
        wanted = QUERIES * min(_BEST, len(expected))
        return Found(right / wanted if wanted else 1.0, totals, faults)

    def _versions(self, numbers: Iterable[int], version: int) -> list[Upsert]:
        """Documents with their tags: those of another number in the first version, the final ones in the second."""
        return [
            Upsert(
                Document(
                    id=DocumentId(_name(number)),
                    body=self._material.body(number, version),
                    tags=_tags(number + version),
                ),
                Position(0, version * self.documents + number, 1_700_000_000_000),
            )
            for number in numbers
        ]


def tagged(tag: str) -> Filter:
    """The documents with a tag."""
    return Filter((frozenset({label("tags", tag)}),))


def _passages() -> Iterable[str]:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py")):
        words = path.read_text("utf-8", "replace").split()
        for first in range(0, len(words) - _PASSAGE_WORDS, _PASSAGE_WORDS // 2):
            yield " ".join(words[first : first + _PASSAGE_WORDS])


def _name(number: int) -> str:
    return f"d{number:05d}"


def _tags(number: int) -> tuple[str, ...]:
    return tuple(tag for tag, every in EVERY.items() if number % every == 0)


async def _distances(connection: Any, generation: SemanticGeneration, query: Vectors) -> Mapping[str, float]:
    """Of all documents, whatever the index says: without an order it is not asked."""
    rows = await connection.fetch(f"SELECT document_id, embedding <=> $1 AS distance FROM {generation.passages}", query)  # noqa: S608 - a validated name
    return {row["document_id"]: row["distance"] for row in rows}
