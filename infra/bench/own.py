"""An engine of ours under comparison: built by its writer, asked through its searcher, as the running system does."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from indexer.backend import Answer, Query
from indexer.deadline import Deadline
from indexer.registry import LOCAL_ENGINES
from infra.bench.building import build_index
from infra.bench.memory import reader_memory
from infra.bench.timing import Contender
from streams.document import Document

SECONDS_A_QUERY: Final = 60.0
"""Time enough that no answer is cut short: a partial one could not be compared."""


class OwnEngine:
    """An index of ours.

    Attributes:
        name: of the engine.
        build: what building it took.

    Args:
        name: of the engine.
        root: of its files; must hold no index of it yet.
        documents: to index.
    """

    def __init__(self, name: str, root: Path, documents: Iterable[Document]) -> None:
        self.name = name
        self._root = root
        engine = LOCAL_ENGINES[name]
        generation, self.build = build_index(engine, root, documents)
        self._searcher = engine.searcher(generation)

    def contender(self, limit: int) -> Contender[str]:
        """This engine, asked for so many hits; it answers with `Answer`."""
        return Contender(self.name, lambda text: self.answer(text, limit))

    def answer(self, text: str, limit: int) -> Answer:
        """Search."""
        return self._searcher.search(Query(text, limit, Deadline.after(SECONDS_A_QUERY)))

    def reader_memory(self, queries: Sequence[str], limit: int) -> int | None:
        """As `infra.bench.memory.reader_memory`."""
        return reader_memory(self.name, self._root, queries, limit)

    def close(self) -> None:
        """Let go of its files."""
        self._searcher.close()
