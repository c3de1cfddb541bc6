"""An open-loop client in a process of its own: what it measures cannot hold it up, nor can whoever started it.

Every request has its time before the first one leaves, and its latency counts from then, so that a server that stalls
cannot hide it by stalling its client too (coordinated omission). What becomes of them is summed up: a `Span` a line on
standard output, so that a day of them needs no more memory than a minute. Reads a `Load` from standard input.
"""

import asyncio
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from indexer.stopping import wait_or_stop
from infra.bench.soak.connections import Connections, Cut
from infra.bench.soak.histogram import Histogram
from infra.bench.soak.queries import Queries, corpus_texts
from infra.supervisor.ports import LOOPBACK

_OK: Final = 200
_MOST_CONNECTIONS: Final = 512
"""What is beyond waits for its turn, and its latency counts that: file handles are for the system under test."""

_MOST_EXAMPLES: Final = 5
_EXAMPLE_CHARACTERS: Final = 300


class Load(msgspec.Struct, frozen=True):
    """What to send.

    Attributes:
        port: of the server, on this machine.
        corpus: path of what the queries are made from.
        rate: searches a second.
        seconds: for how long.
        span: seconds that are summed up at a time.
        first: number of the first query.
        cached: ask the same few queries again and again.
        patience: seconds until a request is given up.
    """

    port: int
    corpus: str
    rate: float
    seconds: float
    span: float
    first: int = 0
    cached: bool = False
    patience: float = 10.0

    @property
    def requests(self) -> int:
        """How many there are."""
        return round(self.rate * self.seconds)

    @property
    def per_span(self) -> int:
        """How many are summed up at a time."""
        return max(1, round(self.rate * self.span))


class Span(msgspec.Struct):
    """What became of the requests of a stretch of time.

    Attributes:
        start: seconds from the first request to the start of the stretch.
        sent: how many were due in it.
        answered: how many got an answer without a fault.
        partial: how many of these lack a method.
        failures: the others, by what happened.
        examples: the first of what was answered otherwise.
        latencies: of all that got any answer.
        last: seconds from the first request to the last answer.
    """

    start: float
    sent: int = 0
    answered: int = 0
    partial: int = 0
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    examples: list[str] = msgspec.field(default_factory=list)
    latencies: Histogram = msgspec.field(default_factory=Histogram)
    last: float = 0.0


class _Method(msgspec.Struct, frozen=True):
    status: str
    error: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    partial: bool
    backends: dict[str, _Method]


class Client:
    """Sends a load.

    Args:
        load: what to send.
        queries: to send.
    """

    def __init__(self, load: Load, queries: Queries) -> None:
        self._load = load
        self._queries = queries
        self._stop = asyncio.Event()
        self._turns = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._server = Connections(load.port)
        self._open: dict[int, Span] = {}
        self._began = 0.0

    async def run(self) -> None:
        """Send all of it, or until a signal to stop, and wait for the answers."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        self._began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(self._load.requests):
                await wait_or_stop(self._stop, self._began + number / self._load.rate - time.monotonic())
                if self._stop.is_set():
                    break
                group.create_task(self._follow(number))
        self._server.close()
        for place in sorted(self._open):
            self._tell(place)

    async def _follow(self, number: int) -> None:
        due = number / self._load.rate
        place = number // self._load.per_span
        span = self._open.setdefault(place, Span(place * self._load.per_span / self._load.rate))
        span.sent += 1
        try:
            async with asyncio.timeout(self._load.patience):
                status, body = await self._ask(number)
        except TimeoutError:
            _count(span, "no answer in time")
        except Cut:
            _count(span, "connection cut")
        except OSError as exc:
            _count(span, exc.strerror or type(exc).__name__)
        else:
            span.last = time.monotonic() - self._began
            span.latencies.add(span.last - due)
            _note(span, status, body)
        if self._whole(place, span):
            self._tell(place)

    def _whole(self, place: int, span: Span) -> bool:
        whole = min(self._load.per_span, self._load.requests - place * self._load.per_span)
        return span.answered + sum(span.failures.values()) == whole

    def _tell(self, place: int) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(self._open.pop(place)) + b"\n")
        sys.stdout.buffer.flush()

    async def _ask(self, number: int) -> tuple[int, bytes]:
        load = self._load
        query = self._queries.cached(number) if load.cached else self._queries[load.first + number]
        request = _request(msgspec.json.encode({"query": query}))
        async with self._turns:
            return await self._server.ask(request)


def _count(span: Span, failure: str) -> None:
    span.failures[failure] = span.failures.get(failure, 0) + 1


def _note(span: Span, status: int, body: bytes) -> None:
    if status != _OK:
        _count(span, f"status {status}")
        _exemplify(span, body.decode(errors="replace"))
        return
    answer = msgspec.json.decode(body, type=_Answer)
    span.answered += 1
    if answer.partial:
        span.partial += 1
        missing = [f"{name}: {each.error}" for name, each in answer.backends.items() if each.error]
        _exemplify(span, "; ".join(missing) or "all methods answered, but not all documents could be fetched")


def _exemplify(span: Span, told: str) -> None:
    if len(span.examples) < _MOST_EXAMPLES:
        span.examples.append(told[:_EXAMPLE_CHARACTERS])


def _request(body: bytes) -> bytes:
    head = f"POST /search HTTP/1.1\r\nhost: {LOOPBACK}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Outcome(msgspec.Struct):
    """Several spans as one.

    Attributes:
        sent: as in `Span`, and so on.
        seconds: from the first request to the last answer.
    """

    sent: int = 0
    answered: int = 0
    partial: int = 0
    failures: Counter[str] = msgspec.field(default_factory=Counter)
    examples: list[str] = msgspec.field(default_factory=list)
    latencies: Histogram = msgspec.field(default_factory=Histogram)
    seconds: float = 0.0

    def add(self, span: Span) -> None:
        """Count a span."""
        self.sent += span.sent
        self.answered += span.answered
        self.partial += span.partial
        self.failures.update(span.failures)
        self.examples = (self.examples + span.examples)[:_MOST_EXAMPLES]
        self.latencies.merge(span.latencies)
        self.seconds = max(self.seconds, span.last)

    @property
    def failed(self) -> int:
        """Requests without a good answer."""
        return self.sent - self.answered

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0


def main() -> None:
    """Read what to send from standard input, and send it."""
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Client(load, Queries(corpus_texts(Path(load.corpus)))).run())


if __name__ == "__main__":
    main()
