"""Blocking engines on the event loop: which thread runs what, and what happens when nobody waits any more."""

import asyncio
import gc
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, current_thread

import pytest

from indexer.backend import Answer, IndexStats, Query
from indexer.deadline import Deadline
from indexer.dump import BlockingDump
from indexer.errors import BackendUnavailable, DeadlineExceeded, GenerationUnusable, WriterFailed
from indexer.explanation import Explanation
from indexer.facets import FacetCounts, FacetQuery
from indexer.filtering import EVERYTHING, Filter
from indexer.generation import Generation, GenerationSettings, create_generation, open_or_create_live, promote
from indexer.threaded import MAX_WAITING, LiveSearcher, ThreadedBackend, ThreadedWriter
from indexer.writer import Rejection
from streams.change import Change, StoredDocument
from streams.document import DocumentId
from streams.watermark import Watermark

SETTINGS = GenerationSettings(index="fake", format_version=1)
PATIENCE = 10.0


class RecordingWriter:
    """A writer that notes which thread called what."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.gate = Event()
        self.gate.set()
        self.entered = Event()
        self.closed = Event()
        self._note("open")

    def watermark(self) -> Watermark:
        """Nothing was read."""
        self._note("watermark")
        return Watermark()

    def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """Wait at the gate."""
        self._note("apply")
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        return [Rejection(change, "kind", "detail") for change in changes]

    def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """Refuse what is repaired."""
        self._note("repair")
        return [Rejection(change, "kind", "detail") for change in changes]

    def commit(self, watermark: Watermark) -> None:
        """Fail for a watermark of another topic."""
        self._note("commit")
        if watermark.topic != "documents":
            raise WriterFailed("no such topic")

    def check(self) -> None:
        """Nothing came to light."""
        self._note("check")

    def close(self) -> None:
        """Note it."""
        self._note("close")
        self.closed.set()

    def _note(self, call: str) -> None:
        self.calls.append((call, current_thread().name))


class FakeSearcher:
    """A searcher that waits at a gate and says which generation it reads."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation.name
        self.gate = Event()
        self.gate.set()
        self.entered = Event()
        self.failure: BaseException | None = None
        self.searching = 0
        self.closed_while_searching = False
        self.closed = False

    def search(self, query: Query) -> Answer:
        """An answer whose detail names the generation."""
        self.searching += 1
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        self.searching -= 1
        if self.failure:
            raise self.failure
        return Answer((), query.limit, Watermark(), detail=self.generation)

    def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """As `search`."""
        deadline.check()
        assert not only
        return Answer((), limit, Watermark(), detail=self.generation)

    def count(self, asked: FacetQuery) -> FacetCounts:
        """It holds nothing."""
        asked.deadline.check()
        return FacetCounts({}, 0, len(asked.ids))

    def explain(self, query: Query, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Explanation]:
        """It holds nothing."""
        query.deadline.check()
        assert ids
        return {}

    def fetch(self, ids: Sequence[DocumentId], deadline: Deadline) -> Mapping[DocumentId, StoredDocument]:
        """It holds nothing."""
        deadline.check()
        assert ids
        return {}

    def watermark(self) -> Watermark:
        """It has read nothing."""
        return Watermark()

    def stats(self) -> IndexStats:
        """An empty index."""
        return IndexStats(self.generation, 0, 0, Watermark())

    def dump(self) -> BlockingDump:
        """Nothing but the watermark."""
        return BlockingDump(Watermark(), iter(()))

    def close(self) -> None:
        """Note whether it came too early."""
        self.closed = True
        self.closed_while_searching = self.searching > 0


class Openings:
    """Opens searchers, and keeps them for the test to look at."""

    def __init__(self) -> None:
        self.searchers: list[FakeSearcher] = []
        self.failure: Exception | None = None

    def __call__(self, generation: Generation) -> FakeSearcher:
        """Open the searcher of a generation."""
        if self.failure:
            raise self.failure
        self.searchers.append(FakeSearcher(generation))
        return self.searchers[-1]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Every thread that a test's engines had ends with them."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("fake-"):
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def opened() -> Openings:
    """What was opened."""
    return Openings()


@pytest.fixture
def live(tmp_path: Path, opened: Openings) -> LiveSearcher:
    """The searcher of whatever is live under `tmp_path`."""
    return LiveSearcher(tmp_path, "fake", opened)


def held_searcher(live: LiveSearcher, opened: Openings, tmp_path: Path) -> FakeSearcher:
    """The searcher of a live generation, whose searches wait until its gate is opened."""
    open_or_create_live(tmp_path, SETTINGS)
    live.current()
    searcher = opened.searchers[0]
    searcher.gate.clear()
    return searcher


def query(deadline: Deadline | None = None) -> Query:
    """Any query."""
    return Query("text", 7, deadline or Deadline.after(PATIENCE))


async def until(event: Event) -> None:
    """Let the loop turn until a thread has said that something happened."""
    assert await asyncio.to_thread(event.wait, PATIENCE)


async def test_every_call_of_a_writer_runs_in_one_thread() -> None:
    """Opening and closing included; the thread carries the index's name."""
    engine: list[RecordingWriter] = []

    def opener() -> RecordingWriter:
        engine.append(RecordingWriter())
        return engine[0]

    writer = await ThreadedWriter.open("fake", opener)
    assert await writer.watermark() == Watermark()
    assert await writer.apply([]) == []
    await asyncio.gather(*(writer.commit(Watermark()) for _ in range(5)))
    await writer.close()
    assert [call for call, _ in engine[0].calls] == ["open", "watermark", "apply", *["commit"] * 5, "close"]
    assert {thread for _, thread in engine[0].calls} == {"fake-writer_0"}


async def test_the_loop_turns_while_a_writer_works() -> None:
    """A slow engine must not stop the consumer's heartbeats."""
    engine = RecordingWriter()
    engine.gate.clear()
    writer = await ThreadedWriter.open("fake", lambda: engine)
    applying = asyncio.create_task(writer.apply([]))
    await until(engine.entered)
    engine.gate.set()
    await applying
    await writer.close()


async def test_an_error_of_the_engine_reaches_the_caller() -> None:
    """And the writer can still be closed after it."""
    engine = RecordingWriter()
    writer = await ThreadedWriter.open("fake", lambda: engine)
    with pytest.raises(WriterFailed, match="no such topic"):
        await writer.commit(Watermark(topic="other"))
    await writer.close()
    assert engine.closed.is_set()


async def test_a_failed_opening_leaves_no_thread() -> None:
    """The autouse fixture looks for it."""

    def opener() -> RecordingWriter:
        raise GenerationUnusable("damaged")

    with pytest.raises(GenerationUnusable):
        await ThreadedWriter.open("fake", opener)


async def test_a_writer_that_opens_when_nobody_waits_is_closed() -> None:
    """Otherwise it would hold the lock of its generation for nobody."""
    engine = RecordingWriter()
    started, gate = Event(), Event()

    def opener() -> RecordingWriter:
        started.set()
        assert gate.wait(PATIENCE)
        return engine

    opening = asyncio.create_task(ThreadedWriter.open("fake", opener))
    await until(started)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    gate.set()
    await until(engine.closed)


async def test_closing_waits_for_the_call_that_runs() -> None:
    """No file may close under a call, and a cancelled closing must not be a forgotten one."""
    engine = RecordingWriter()
    engine.gate.clear()
    writer = await ThreadedWriter.open("fake", lambda: engine)
    applying = asyncio.create_task(writer.apply([]))
    await until(engine.entered)
    applying.cancel()
    closing = asyncio.create_task(writer.close())
    await asyncio.wait([applying, closing], timeout=0.05)
    assert not engine.closed.is_set()
    closing.cancel()
    await asyncio.wait([closing])
    engine.gate.set()
    await until(engine.closed)


def test_there_is_no_searcher_before_an_index_was_built(live: LiveSearcher, tmp_path: Path) -> None:
    """It says so, and begins to work as soon as there is one."""
    with pytest.raises(BackendUnavailable, match="was not built yet"):
        live.current()
    open_or_create_live(tmp_path, SETTINGS)
    assert isinstance(live.current(), FakeSearcher)


def test_a_searcher_is_opened_once(live: LiveSearcher, opened: Openings, tmp_path: Path) -> None:
    """Until another generation is put live, and then again."""
    open_or_create_live(tmp_path, SETTINGS)
    assert live.current() is live.current()
    promote(tmp_path, create_generation(tmp_path, SETTINGS))
    assert live.current() is live.current()
    assert [searcher.generation for searcher in opened.searchers] == ["g000001", "g000002"]


def test_threads_that_meet_a_swap_open_it_once(live: LiveSearcher, opened: Openings, tmp_path: Path) -> None:
    """Whoever comes first opens, the others wait and use the same."""
    open_or_create_live(tmp_path, SETTINGS)
    for _ in range(20):
        promote(tmp_path, create_generation(tmp_path, SETTINGS))
        barrier = threading.Barrier(4)

        def meet(barrier: threading.Barrier = barrier) -> None:
            barrier.wait(PATIENCE)
            live.current()

        threads = [threading.Thread(target=meet) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert [searcher.generation for searcher in opened.searchers] == [f"g{number:06d}" for number in range(2, 22)]


@pytest.mark.parametrize("failure", [GenerationUnusable("damaged"), OSError("no such file")])
def test_a_generation_that_cannot_be_opened_is_unavailable(
    live: LiveSearcher, opened: Openings, tmp_path: Path, failure: Exception
) -> None:
    """It is tried again with the next query, for it may have been mended."""
    open_or_create_live(tmp_path, SETTINGS)
    opened.failure = failure
    with pytest.raises(BackendUnavailable, match="index fake cannot be read"):
        live.current()
    opened.failure = None
    assert live.current() is opened.searchers[0]


def test_a_damaged_pointer_is_unavailable(live: LiveSearcher, tmp_path: Path) -> None:
    """The other indexes answer meanwhile."""
    open_or_create_live(tmp_path, SETTINGS)
    (tmp_path / "fake" / "live").write_bytes(b"\xff")
    with pytest.raises(BackendUnavailable, match="cannot be read"):
        live.current()


async def test_a_backend_answers_from_the_live_generation(live: LiveSearcher, tmp_path: Path) -> None:
    """Every call of the seam follows the pointer."""
    open_or_create_live(tmp_path, SETTINGS)
    backend = ThreadedBackend(live, name="fake")
    assert (await backend.search(query())).detail == "g000001"
    promote(tmp_path, create_generation(tmp_path, SETTINGS))
    in_time = Deadline.after(PATIENCE)
    assert (await backend.search(query())).detail == "g000002"
    assert (await backend.newest(3, in_time)).total == 3
    assert await backend.fetch([DocumentId("a")], in_time) == {}
    assert (await backend.stats(in_time)).generation == "g000002"
    await backend.close()


async def test_a_deadline_that_has_passed_asks_nobody(live: LiveSearcher, opened: Openings, tmp_path: Path) -> None:
    """No thread is taken for an answer that nobody waits for."""
    open_or_create_live(tmp_path, SETTINGS)
    backend = ThreadedBackend(live, name="fake")
    with pytest.raises(DeadlineExceeded):
        await backend.search(query(Deadline.after(0.0)))
    await backend.close()
    assert opened.searchers == []


async def test_a_slow_search_is_given_up_in_time(live: LiveSearcher, opened: Openings, tmp_path: Path) -> None:
    """The caller gets its answer at the deadline, whatever the engine does."""
    open_or_create_live(tmp_path, SETTINGS)
    live.current()
    opened.searchers[0].gate.clear()
    backend = ThreadedBackend(live, name="fake")
    with pytest.raises(DeadlineExceeded):
        await backend.search(query(Deadline.after(0.05)))
    opened.searchers[0].gate.set()
    await backend.close()


async def test_a_deadline_passes_while_queueing(live: LiveSearcher, opened: Openings, tmp_path: Path) -> None:
    """A call that waited for a thread too long never reaches the engine."""
    searcher = held_searcher(live, opened, tmp_path)
    backend = ThreadedBackend(live, name="fake", threads=1)
    first = asyncio.create_task(backend.search(query()))
    await until(searcher.entered)
    with pytest.raises(DeadlineExceeded):
        await backend.search(query(Deadline.after(0.05)))
    searcher.gate.set()
    assert (await first).detail == "g000001"
    assert (await backend.search(query())).total == 7
    await backend.close()
    assert searcher.searching == 0


async def test_a_cancelled_search_does_not_block_the_next(live: LiveSearcher, opened: Openings, tmp_path: Path) -> None:
    """A client that hangs up costs one thread until its engine notices, and a queued call costs none."""
    searcher = held_searcher(live, opened, tmp_path)
    backend = ThreadedBackend(live, name="fake", threads=1)
    running = asyncio.create_task(backend.search(query()))
    await until(searcher.entered)
    queued = asyncio.create_task(backend.search(query()))
    await asyncio.sleep(0)
    for task in (running, queued):
        task.cancel()
    assert [type(result) for result in await asyncio.gather(running, queued, return_exceptions=True)] == [
        asyncio.CancelledError
    ] * 2
    searcher.gate.set()
    assert (await backend.search(query())).detail == "g000001"
    await backend.close()


async def test_threads_that_hang_do_not_let_the_queue_grow(
    live: LiveSearcher, opened: Openings, tmp_path: Path
) -> None:
    """Calls that were given up still stand in the queue; when it is full the backend says so, until one is free."""
    searcher = held_searcher(live, opened, tmp_path)
    backend = ThreadedBackend(live, name="fake", threads=1)
    hanging = asyncio.create_task(backend.search(query()))
    await until(searcher.entered)
    searcher.entered.clear()
    queued = [asyncio.create_task(backend.search(query())) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    for task in queued:
        task.cancel()
    await asyncio.wait(queued)
    with pytest.raises(BackendUnavailable, match="waiting for the threads of fake"):
        await backend.search(query())
    searcher.gate.set()
    await hanging
    await asyncio.wrap_future(backend._executor.submit(lambda: None))  # behind all of them
    assert not searcher.entered.is_set(), "what nobody waits for is not done"
    assert (await backend.search(query())).total == 7
    await backend.close()


async def test_closing_waits_for_the_searches_that_run(live: LiveSearcher, opened: Openings, tmp_path: Path) -> None:
    """A mapped file that is closed under a search takes the process with it."""
    searcher = held_searcher(live, opened, tmp_path)
    backend = ThreadedBackend(live, name="fake")
    running = asyncio.create_task(backend.search(query()))
    await until(searcher.entered)
    closing = asyncio.create_task(backend.close())
    await asyncio.wait([closing], timeout=0.05)
    searcher.gate.set()
    await asyncio.gather(running, closing)
    assert (searcher.closed, searcher.closed_while_searching) == (True, False)


async def test_closing_gives_up_what_no_thread_has_begun(live: LiveSearcher, opened: Openings, tmp_path: Path) -> None:
    """Whoever waits for it is told at once, and not at the deadline."""
    searcher = held_searcher(live, opened, tmp_path)
    backend = ThreadedBackend(live, name="fake", threads=1)
    running = asyncio.create_task(backend.search(query()))
    await until(searcher.entered)
    queued = asyncio.create_task(backend.search(query()))
    await asyncio.sleep(0)
    closing = asyncio.create_task(backend.close())
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(queued, PATIENCE / 2)
    searcher.gate.set()
    assert (await running).detail == "g000001"
    await closing


@pytest.mark.parametrize("failure", [BackendUnavailable("damaged"), KeyboardInterrupt()])
async def test_a_failure_reaches_whoever_waits_and_nobody_else(
    live: LiveSearcher, opened: Openings, tmp_path: Path, failure: BaseException
) -> None:
    """One that comes when nobody waits any more is not told to the loop, which would log it."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    open_or_create_live(tmp_path, SETTINGS)
    live.current()
    searcher = opened.searchers[0]
    searcher.failure = failure
    backend = ThreadedBackend(live, name="fake", threads=1)
    with pytest.raises(type(failure)) as raised:
        await backend.search(query())
    assert raised.value is failure
    searcher.gate.clear()
    late = asyncio.create_task(backend.search(query(Deadline.after(0.05))))
    with pytest.raises(DeadlineExceeded, match="the deadline passed"):
        await late
    searcher.gate.set()
    await backend.close()
    gc.collect()
    await asyncio.sleep(0)
    assert told == []
