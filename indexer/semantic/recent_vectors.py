"""Vectors of the texts that a model embedded lately, or embeds now.

An indexer feeds a document to each generation that is to be fed: for a day after a swap, to two of them. They want the
same vectors at about the same time, when no generation holds them yet.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.deadline import Deadline
from indexer.embedding import EmbedderProcess

REMEMBERED: Final = 1_024
"""Vectors; 1.5 MB with 384 dimensions. Generations are a batch or two apart, of 64 documents each."""

Vector = npt.NDArray[np.float32]


class RecentVectors:
    """Embeds each text once for all who want it within a while; to be used by one event loop.

    Args:
        embedder: the model; the caller closes it.
        most: how many vectors are remembered.
    """

    def __init__(self, embedder: EmbedderProcess, *, most: int = REMEMBERED) -> None:
        self._embedder = embedder
        self._most = most
        self._known: dict[str, Vector] = {}  # the latest at the end
        self._flying: dict[str, asyncio.Future[None]] = {}

    async def of(self, texts: Sequence[str], deadline: Deadline) -> list[Vector]:
        """Embed passages of documents, as `EmbedderProcess.embed_documents` does.

        Args:
            texts: as there.
            deadline: as there.

        Returns:
            a vector for each text: shape (dimensions,), float32, as there.

        Raises:
            EmbeddingFault: as there; whoever waits for a request that failed asks again by itself.
            DeadlineExceeded: as there.
            BackendBusy: as there.
        """
        vectors: dict[str, Vector] = {}
        while missing := self._missing(texts, vectors):
            free = [text for text in missing if text not in self._flying]
            if free:
                vectors |= await self._embed(free, deadline)
            else:
                await asyncio.wait({self._flying[text] for text in missing}, return_when=asyncio.FIRST_COMPLETED)
        return [vectors[text] for text in texts]

    def _missing(self, texts: Sequence[str], vectors: dict[str, Vector]) -> list[str]:
        """Texts whose vectors are not known yet; to the others, these are added."""
        vectors |= {text: self._known[text] for text in texts if text in self._known}
        return [text for text in dict.fromkeys(texts) if text not in vectors]

    async def _embed(self, texts: Sequence[str], deadline: Deadline) -> dict[str, Vector]:
        landed = asyncio.get_running_loop().create_future()
        self._flying |= dict.fromkeys(texts, landed)
        try:
            vectors = dict(zip(texts, await self._embedder.embed_documents(texts, deadline), strict=True))
            self._known |= vectors
            for text in list(self._known)[: -self._most]:
                del self._known[text]
        finally:
            for text in texts:
                del self._flying[text]
            landed.set_result(None)
        return vectors
