"""Texts that several generations want embedded: once for all, whatever becomes of the request of one."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from indexer.deadline import Deadline
from indexer.embedding import EmbedderDied, EmbedderProcess
from indexer.semantic.recent_vectors import RecentVectors


class _Held:
    """In place of an embedder, answers when it is told to: no model does that."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.answers = asyncio.Queue[Exception | None]()

    async def embed_documents(self, texts: Sequence[str], deadline: Deadline) -> npt.NDArray[np.float32]:
        """Vectors that tell of which text they are, or what it was told to raise."""
        deadline.check()
        self.asked.append(list(texts))
        if (fault := await self.answers.get()) is not None:
            raise fault
        return np.array([[len(text)] for text in texts], dtype=np.float32)


def _recent(held: _Held, **options: Any) -> RecentVectors:
    return RecentVectors(cast("EmbedderProcess", held), **options)


def _asking(recent: RecentVectors, *texts: str) -> "asyncio.Task[list[npt.NDArray[np.float32]]]":
    return asyncio.create_task(recent.of(texts, Deadline.after(60)))


async def test_what_two_want_at_a_time_is_embedded_once() -> None:
    """And what only the second one wants, besides."""
    held = _Held()
    recent = _recent(held)
    first, second = _asking(recent, "a", "bb"), _asking(recent, "bb", "ccc")
    await asyncio.sleep(0)
    for _ in range(2):
        held.answers.put_nowait(None)
    assert [int(vector[0]) for vector in await first] == [1, 2]
    assert [int(vector[0]) for vector in await second] == [2, 3]
    assert held.asked == [["a", "bb"], ["ccc"]]
    assert [int(vector[0]) for vector in await recent.of(["ccc", "a"], Deadline.after(60))] == [3, 1]


@pytest.mark.parametrize("cancelled", [False, True], ids=["fails", "is cancelled"])
async def test_who_waits_for_a_request_that_comes_to_nothing_asks_again(*, cancelled: bool) -> None:
    """What ends one of them does not end the other."""
    held = _Held()
    recent = _recent(held)
    first, second = _asking(recent, "a"), _asking(recent, "a")
    await asyncio.sleep(0)
    if cancelled:
        first.cancel()
    else:
        held.answers.put_nowait(EmbedderDied("it ended"))
    with pytest.raises(asyncio.CancelledError if cancelled else EmbedderDied):
        await first
    held.answers.put_nowait(None)
    assert [int(vector[0]) for vector in await second] == [1]
    assert held.asked == [["a"], ["a"]]


async def test_a_cancelled_wait_leaves_the_request_alone() -> None:
    """It is not that of the one who waits."""
    held = _Held()
    recent = _recent(held)
    first, second = _asking(recent, "a"), _asking(recent, "a")
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    held.answers.put_nowait(None)
    assert [int(vector[0]) for vector in await first] == [1]


async def test_only_the_latest_are_remembered() -> None:
    """Of more than there is room for, the first are embedded again."""
    held = _Held()
    recent = _recent(held, most=2)
    for _ in range(2):
        held.answers.put_nowait(None)
    await recent.of(["a", "bb", "ccc"], Deadline.after(60))
    await recent.of(["bb", "ccc"], Deadline.after(60))
    await recent.of(["a"], Deadline.after(60))
    assert held.asked == [["a", "bb", "ccc"], ["a"]]
