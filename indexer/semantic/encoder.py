"""Documents to passages with vectors, or to the reason why a document can have none."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec
import numpy as np

from indexer.deadline import Deadline
from indexer.embedding import EmbedderDied, EmbedderProcess, TextTooLong
from indexer.semantic.passages import Passage, PassageSettings, split, words
from indexer.semantic.recent_vectors import RecentVectors, Vector
from streams.document import Document

ATTEMPTS: Final = 3

_BATCH_PASSAGES: Final = 16
_REQUEST_SECONDS: Final = 300.0
"""More than the embedder needs to notice that its process hangs."""

_MAX_KNOWN_WORDS: Final = 100_000
_END_MARKS: Final = 2

T = TypeVar("T")


class EncodedPassage(msgspec.Struct, frozen=True):
    """A passage's place in the body, and its vector: shape (dimensions,), float32, unit length."""

    start: int
    end: int
    vector: Vector


class Unencodable(msgspec.Struct, frozen=True):
    """Why a document has no vectors and never will.

    Attributes:
        kind: stable error class of its dead letter.
        detail: the reason in words.
    """

    kind: str
    detail: str


Encoded = Sequence[EncodedPassage] | Unencodable


class Encoder:
    """Cuts documents into passages and embeds them.

    Args:
        embedder: the model.
        settings: how documents are cut.
        recent: of the same model, which whoever fills another generation shares.
    """

    def __init__(
        self, embedder: EmbedderProcess, settings: PassageSettings, recent: RecentVectors | None = None
    ) -> None:
        self._embedder = embedder
        self._recent = recent or RecentVectors(embedder)
        self._settings = settings
        self._tokens: dict[str, int] = {}
        self._reserved: int | None = None

    async def encode(self, document: Document) -> Encoded:
        """Cut and embed one document; a body of 1 MiB is some 2,500 passages.

        Raises:
            BackendUnavailable: the embedder cannot work now.
            DeadlineExceeded: the embedder does not answer.
        """
        try:
            passages = await self._passages(document)
            # Each different text once: tables and boilerplate repeat themselves.
            texts = list(dict.fromkeys(passage.text for passage in passages))
            vectors: dict[str, Vector] = {}
            for start in range(0, len(texts), _BATCH_PASSAGES):
                batch = texts[start : start + _BATCH_PASSAGES]
                vectors.update(zip(batch, await self._embed(batch), strict=True))
        except _PoisonousTextError as exc:
            return exc.reason
        return [EncodedPassage(passage.start, passage.end, vectors[passage.text]) for passage in passages]

    async def _passages(self, document: Document) -> list[Passage]:
        # In a thread: a megabyte of text keeps Python busy for longer than the event loop may wait.
        needed = await asyncio.to_thread(lambda: words(document.title) | words(document.body))
        await self._learn(needed)
        count = dict(self._tokens).__getitem__
        cut = partial(split, document.title, document.body, count, self._settings, reserved=await self._marks())
        return await asyncio.to_thread(cut)

    async def _learn(self, needed: set[str]) -> None:
        unknown = sorted(needed - self._tokens.keys())
        counts = await self._count(unknown) if unknown else []
        if len(self._tokens) > _MAX_KNOWN_WORDS:
            self._tokens = {word: tokens for word, tokens in self._tokens.items() if word in needed}
        self._tokens.update(zip(unknown, counts, strict=True))

    async def _marks(self) -> int:
        """Tokens of each passage that are not its own: the model's prefix and the marks at both ends."""
        if self._reserved is None:
            (tokens,) = await self._count([self._embedder.description.document_prefix])
            self._reserved = tokens + _END_MARKS
        return self._reserved

    async def _count(self, texts: Sequence[str]) -> Sequence[int]:
        return await _patiently(lambda: self._embedder.count_tokens(texts, Deadline.after(_REQUEST_SECONDS)))

    async def _embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        try:
            vectors = await self._recent.of(texts, Deadline.after(_REQUEST_SECONDS))
        except (EmbedderDied, TextTooLong):
            # One of them is to blame: which one shows when each is alone.
            vectors = [await self._embed_alone(text) for text in texts]
        if not all(np.isfinite(vector).all() and vector.any() for vector in vectors):
            raise _PoisonousTextError("not-finite", "the model gave a vector that is not finite or has no length")
        return vectors

    async def _embed_alone(self, text: str) -> Vector:
        (vector,) = await _patiently(lambda: self._recent.of([text], Deadline.after(_REQUEST_SECONDS)))
        return vector


class _PoisonousTextError(Exception):
    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = Unencodable(kind, detail)


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again when the embedder dies, for it may not have been over this; but not for ever."""
    deaths = 0
    while True:
        try:
            return await ask()
        except TextTooLong as exc:
            raise _PoisonousTextError("passage-too-long", str(exc)) from exc
        except EmbedderDied as exc:
            deaths += 1
            if deaths == ATTEMPTS:
                raise _PoisonousTextError("embedder-crash", f"it ended the embedder {deaths} times: {exc}") from exc
