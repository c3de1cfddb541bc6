"""The guard around a backend: it answers or fails with a meaning, by the deadline."""

import asyncio
import contextlib

import pytest

from api.backends.guarded import MAX_CALLS, GuardedBackend
from api.errors import BackendFailed
from indexer.backend import Answer, Query
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, DeadlineExceeded, InvalidQuery
from tests.api.fakes import FakeBackend, NativePanic


class StubbornBackend(FakeBackend):
    """Ignores its first cancellation, as a driver does that waits for a server which is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    async def search(self, query: Query) -> Answer:
        """Ends when released; a test's own end cancels once more."""
        with contextlib.suppress(asyncio.CancelledError):
            await self.release.wait()
        await self.release.wait()
        return await super().search(query)


def _query(seconds: float = 5.0) -> Query:
    return Query("text", 10, Deadline.after(seconds))


@pytest.mark.parametrize("fault", [InvalidQuery("bad"), BackendUnavailable("away"), DeadlineExceeded("late")])
async def test_faults_with_a_meaning_pass(fault: Exception) -> None:
    """What a backend raises on purpose reaches the caller as it is."""
    backend = FakeBackend()
    backend.fail(fault)
    with pytest.raises(type(fault)) as raised:
        await GuardedBackend(backend, "bm25").search(_query())
    assert raised.value is fault


@pytest.mark.parametrize("fault", [KeyError("x"), NativePanic("panic"), asyncio.CancelledError()])
async def test_accidents_become_failures_of_the_backend(fault: BaseException) -> None:
    """A defect, a panic in native code or a stray cancellation is one backend's failure."""
    backend = FakeBackend()
    backend.fail(fault)
    with pytest.raises(BackendFailed):
        await GuardedBackend(backend, "native").search(_query())


async def test_a_call_that_ignores_cancellation_is_left_behind() -> None:
    """The caller goes on at the deadline, whatever the backend does."""
    backend = StubbornBackend()
    async with asyncio.timeout(5):
        with pytest.raises(DeadlineExceeded):
            await GuardedBackend(backend, "semantic").search(_query(0.02))
    backend.release.set()
    await asyncio.sleep(0)


async def test_too_many_calls_left_behind_stop_new_ones() -> None:
    """A backend that never ends its calls is not given more of them, until it does."""
    backend = StubbornBackend()
    guarded = GuardedBackend(backend, "semantic")
    for _ in range(MAX_CALLS):
        with pytest.raises(DeadlineExceeded):
            await guarded.search(_query(0))
    with pytest.raises(BackendUnavailable, match="have not ended"):
        await guarded.search(_query())
    backend.release.set()
    await asyncio.wait(guarded._calls)
    await asyncio.sleep(0)  # their ends are told by callbacks
    assert (await guarded.search(_query())).hits == []


async def test_cancelling_the_caller_cancels_the_call() -> None:
    """Nobody works for a client that is gone."""
    backend = FakeBackend()
    backend.hang = frozenset({"search"})
    calling = asyncio.create_task(GuardedBackend(backend, "bm25").search(_query()))
    await backend.asked("search")
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await asyncio.sleep(0)
    assert backend.cancelled == 1
