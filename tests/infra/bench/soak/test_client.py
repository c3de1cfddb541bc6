"""The open-loop client, against servers that are slow, rude or gone."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infra.bench.errors import BenchFailed
from infra.bench.soak.client import Load, Outcome
from infra.bench.soak.load import outcome_of, send
from infra.supervisor.ports import free_port

Answer = Callable[[int], Awaitable[bytes]]

WHOLE = {"partial": False, "backends": {"bm25": {"status": "ok"}}}
PARTIAL = {"partial": True, "backends": {"semantic": {"status": "timeout", "error": "the deadline passed"}}}


def response(body: object, status: int = 200) -> bytes:
    """As a server sends it."""
    content = json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """A server that answers requests by their number; an empty answer hangs up. Gives its port."""
    seen = 0
    serving = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        if task := asyncio.current_task():
            serving.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                seen += 1
                told = await answer(seen - 1)
                if not told:
                    break
                writer.write(told)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            for task in serving:
                task.cancel()  # from Python 3.12 on, a server waits for whoever it serves


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    """Something to make queries from."""
    file = tmp_path / "corpus.ndjson"
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda"
    file.write_text(json.dumps({"id": "1", "body": words}) + "\n")
    return str(file)


async def answered(
    corpus: str, answer: Answer, *, rate: float = 100, seconds: float = 1, patience: float = 5
) -> Outcome:
    """What becomes of a load at such a server."""
    async with server(answer) as port:
        return await outcome_of(Load(port, corpus, rate, seconds, span=0.25, patience=patience))


async def test_every_request_is_counted_once_and_a_span_at_a_time(corpus: str) -> None:
    """Each span is told as soon as its last answer is there."""

    async def answer(_: int) -> bytes:
        return response(WHOLE)

    async with server(answer) as port:
        spans = [span async for span in send(Load(port, corpus, 100, 1, span=0.25))]
    assert [(span.start, span.sent, span.answered) for span in spans] == [(at / 4, 25, 25) for at in range(4)]
    assert all(span.latencies.count == 25 for span in spans)


async def test_a_stall_counts_for_all_that_should_have_left_meanwhile(corpus: str) -> None:
    """Coordinated omission: one answer that takes long makes those behind it late, and their latencies say so."""
    stalled = asyncio.Event()

    async def answer(number: int) -> bytes:
        if number == 10:
            asyncio.get_running_loop().call_later(0.5, stalled.set)
        if number >= 10:
            await stalled.wait()
        return response(WHOLE)

    outcome = await answered(corpus, answer)
    assert outcome.failed == 0
    late = sum(count for bucket, count in outcome.latencies.buckets.items() if bucket > 350)  # over 0.1 s
    assert 30 <= late <= 60


async def test_what_is_no_good_answer_is_told_by_its_kind(corpus: str) -> None:
    """Refusals, cut connections and answers that lack a method; with examples."""
    kinds = [response(WHOLE), response({"detail": "overloaded"}, 503), b"", response(PARTIAL)]

    async def answer(number: int) -> bytes:
        return kinds[number % 4]

    outcome = await answered(corpus, answer, rate=40)
    assert outcome.sent == 40
    assert set(outcome.failures) <= {"status 503", "connection cut"}
    assert outcome.failures["status 503"] >= 9
    assert outcome.partial >= 9
    assert outcome.failed == outcome.failures.total()
    assert any("overloaded" in each for each in outcome.examples)
    assert any("the deadline passed" in each for each in outcome.examples)


async def test_answers_that_never_come_are_given_up(corpus: str) -> None:
    """And counted, so that a server that hangs fails the run."""

    async def answer(_: int) -> bytes:
        await asyncio.Event().wait()
        return b""

    outcome = await answered(corpus, answer, rate=10, patience=0.3)
    assert outcome.failures == {"no answer in time": 10}


async def test_a_server_that_is_gone_fails_every_request(corpus: str) -> None:
    """Nothing is left out because it could not be sent."""
    outcome = await outcome_of(Load(free_port(), corpus, 20, 0.5, span=0.5))
    assert (outcome.sent, outcome.failed) == (10, 10)


async def test_a_client_that_cannot_work_fails_the_run(tmp_path: Path) -> None:
    """A load that was not sent must not look like one that was answered."""
    empty = tmp_path / "empty.ndjson"
    empty.write_text("")
    with pytest.raises(BenchFailed, match="ended with status 1"):
        await outcome_of(Load(free_port(), str(empty), 20, 0.5, span=0.5))
