"""Vectors of recent queries, so that a page turned or a popular question costs no embedding."""

import time
from collections import OrderedDict
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from indexer.deadline import Deadline
from indexer.embedding.process import EmbedderProcess

MAX_QUERIES: Final = 4_096
"""At most 6 MB with 384 dimensions."""

CACHE: Final = "query_embeddings"
"""The cache's name in metrics."""


class QueryMetrics(Protocol):
    """What is counted; `streams.metrics.Metrics` does it."""

    def cache_hit(self, cache: str) -> None:
        """A cache had what was looked up."""
        ...

    def cache_missed(self, cache: str) -> None:
        """A cache did not have what was looked up."""
        ...

    def embedded(self, seconds: float) -> None:
        """A query was embedded."""
        ...


class QueryEmbeddings:
    """Embeds queries through an embedder and keeps the vectors of the last `capacity` different ones.

    Args:
        embedder: embeds what is not known yet.
        metrics: counts both, and times the embedder.
        capacity: how many queries to keep.
    """

    def __init__(self, embedder: EmbedderProcess, metrics: QueryMetrics, *, capacity: int = MAX_QUERIES) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._capacity = capacity
        self._vectors: OrderedDict[str, tuple[npt.NDArray[np.float32], bool]] = OrderedDict()

    async def vector(self, text: str, deadline: Deadline) -> tuple[npt.NDArray[np.float32], bool]:
        """As `EmbedderProcess.embed_query`."""
        known = self._vectors.get(text)
        if known is not None:
            self._metrics.cache_hit(CACHE)
            self._vectors.move_to_end(text)
            return known
        self._metrics.cache_missed(CACHE)
        began = time.monotonic()
        embedded = await self._embedder.embed_query(text, deadline)
        self._metrics.embedded(time.monotonic() - began)
        self._vectors[text] = embedded
        while len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
        return embedded

    def clear(self) -> None:
        """Forget all vectors, to free memory or because the model is another one."""
        self._vectors.clear()
