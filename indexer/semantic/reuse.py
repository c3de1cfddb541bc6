"""Vectors that are in the database already: a text that some generation has by the same model is not embedded again.

Texts are told by `embedded_hash`, models by the hash of their file. So a rebuild with the same model embeds nothing,
one with another model embeds each text once, and a copy of a document costs no more than its row.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import numpy as np
import structlog

from indexer.semantic.encoder import Encoded, EncodedPassage
from indexer.semantic.schema import SemanticGeneration, all_generations

_log = structlog.stdlib.get_logger(__name__)


class KnownVectors:
    """What the generations hold that were made like the one that is written.

    Args:
        connection: to the database, not in a transaction.
        generation: that is written.
    """

    def __init__(self, connection: Any, generation: SemanticGeneration) -> None:  # noqa: ANN401 - asyncpg ships no types
        self._connection = connection
        self._generation = generation
        self._sources: list[SemanticGeneration] | None = None

    async def find(self, hashes: Iterable[bytes]) -> dict[bytes, Encoded]:
        """The passages of texts, by their hashes; of those that are known.

        Raises:
            asyncpg.PostgresError: the database refused.
        """
        missing = set(hashes)
        found: dict[bytes, Encoded] = {}
        for source in await self._alike() if missing else ():
            found |= await self._in(source, missing)
            missing -= found.keys()
            if not missing:
                break
        return found

    async def _alike(self) -> Sequence[SemanticGeneration]:
        """This generation first, then the others, newest first."""
        if self._sources is None:
            alike = [each for each in await all_generations(self._connection) if self._is_alike(each)]
            self._sources = sorted(alike, key=lambda each: (each.name == self._generation.name, each.name))[::-1]
        return tuple(self._sources)

    def _is_alike(self, other: SemanticGeneration) -> bool:
        mine, its = self._generation.settings, other.settings
        return (its.model_sha256, its.passages, its.format_version) == (
            mine.model_sha256,
            mine.passages,
            mine.format_version,
        )

    async def _in(self, source: SemanticGeneration, hashes: set[bytes]) -> Mapping[bytes, Encoded]:
        try:
            rows = await self._connection.fetch(
                "SELECT d.content_hash, p.body_start, p.body_end, p.embedding FROM"  # noqa: S608 - validated names
                f" (SELECT DISTINCT ON (content_hash) content_hash, id FROM {source.documents}"
                "   WHERE content_hash = ANY($1) ORDER BY content_hash, id) d"
                f" JOIN {source.passages} p ON p.document_id = d.id ORDER BY d.content_hash, p.ordinal",
                list(hashes),
            )
        except asyncpg.UndefinedTableError:
            _log.info("a generation with known vectors was removed", generation=source.name)
            self._sources = None
            return {}
        found: dict[bytes, list[EncodedPassage]] = {}
        for row in rows:
            vector = row["embedding"].to_numpy().astype(np.float32)
            found.setdefault(row["content_hash"], []).append(EncodedPassage(row["body_start"], row["body_end"], vector))
        return found
