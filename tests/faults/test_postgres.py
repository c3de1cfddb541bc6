"""PostgreSQL crashes, throws its clients out, or is behind a broken network; clients hang up by the thousand."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.faults.corpus import new_searches, searches
from tests.faults.figures import experiment
from tests.faults.load import load
from tests.faults.proxy import Mode, Proxy
from tests.faults.system import System

RATE = 20
AWAY_SECONDS = 15.0
TERMINATIONS = 20
HEALS_WITHIN_SECONDS = 10.0
LONGEST_SECONDS = 1.25
"""A search has a second, and the rest is what a busy machine may add."""

CANCELLED = 10_000
CANCELLED_AT_A_TIME = 32
CONNECTIONS_A_WORKER = 4
HANDLES_TOLERATED = 10

_OURS = "application_name = 'embed-search api'"


@pytest.mark.timeout(300)
def test_a_postgresql_that_was_killed(system: System) -> None:
    """Kill -9 of the postmaster: no search fails or waits, and the next server is used as soon as it is there."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=RATE)
    with load([system.port], bodies, rate=RATE, seconds=120) as sending:
        system.kill("postgres")
        time.sleep(AWAY_SECONDS)
        system.start("postgres")
        healed_in = system.wait_until(system.complete, "the semantic method answers again", 60)
        seen = sending.stop()
    with experiment(f"15 kill -9 of the postmaster, away for {AWAY_SECONDS:.0f} s, under {RATE} searches/s") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
        figures.at_most("p99", seen.p99, 1.0, "s", healthy.p99)
        figures.at_most("longest search", seen.quantile(1), LONGEST_SECONDS, "s", healthy.quantile(1))
        figures.at_most("seconds until all methods answer again", healed_in, HEALS_WITHIN_SECONDS, "s")


@pytest.mark.timeout(300)
def test_every_connection_is_terminated_again_and_again(system: System) -> None:
    """What was cut is made again: a second later all methods answer."""
    bodies = searches(50)
    healthy = system.healthy(bodies, rate=RATE)
    with load([system.port], bodies, rate=RATE, seconds=120) as sending:
        for _ in range(TERMINATIONS):
            query(system, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OURS}")  # noqa: S608 - a constant
            time.sleep(1)
        healed_in = system.wait_until(system.complete, "all methods answer", 60)
        seen = sending.stop()
    with experiment(f"15 pg_terminate_backend of all x{TERMINATIONS} under {RATE} searches/s") as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
        figures.at_most("p99", seen.p99, 1.0, "s", healthy.p99)
        figures.at_most("seconds until all methods answer again", healed_in, HEALS_WITHIN_SECONDS, "s")


@pytest.fixture
def proxied(system: System) -> Iterator[Proxy]:
    """A proxy between the API and PostgreSQL, for one test."""
    address = urlsplit(system.postgres.dsn)
    assert address.port is not None
    with Proxy(address.port).running() as proxy:
        through = address.netloc.replace(f":{address.port}", f":{proxy.port}")
        system.restart("api", {"DATABASE_URL": urlunsplit(address._replace(netloc=through))})
        yield proxy
        system.restart("api")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["half-open", "drop", "reset", "delay"])
def test_a_broken_network_before_postgresql(system: System, proxied: Proxy, mode: Mode) -> None:
    """Whatever is swallowed: no search fails or waits beyond its time, and dead connections are not used for ever."""
    bodies = searches(50)
    system.wait_until(system.complete, "all methods answer through the proxy", 60)
    healthy = system.healthy(bodies, rate=RATE)
    with load([system.port], bodies, rate=RATE, seconds=120) as sending:
        proxied.set_mode(mode)
        time.sleep(AWAY_SECONDS)
        proxied.set_mode("pass")
        healed_in = system.wait_until(system.complete, "the semantic method answers again", 60)
        seen = sending.stop()
    with experiment(
        f"15 network before PostgreSQL: {mode} for {AWAY_SECONDS:.0f} s, under {RATE} searches/s"
    ) as figures:
        figures.exactly("failed searches", len(seen.failed), 0, healthy=len(healthy.failed), examples=seen.examples)
        figures.exactly("partial answers without the reason", len(seen.where(lambda one: not one.explained)), 0)
        figures.at_most("longest search", seen.quantile(1), LONGEST_SECONDS, "s", healthy.quantile(1))
        figures.at_most("seconds until all methods answer again", healed_in, HEALS_WITHIN_SECONDS, "s")


@pytest.mark.timeout(400)
def test_clients_that_hang_up(system: System) -> None:
    """A search whose client is gone gives back what it took: connections, and their transactions."""
    before = sum(worker.num_fds() for worker in system.workers())
    asyncio.run(hang_up(system.port, [body.encode() for body in new_searches(CANCELLED)]))
    healed_in = system.wait_until(system.complete, "all methods answer", 60)
    busy = partial(query, system, f"SELECT pid FROM pg_stat_activity WHERE {_OURS} AND state <> 'idle'")  # noqa: S608 - a constant
    idle_in = system.wait_until(lambda: not busy(), "no connection is in use", 60)
    held = len(query(system, f"SELECT pid FROM pg_stat_activity WHERE {_OURS}"))  # noqa: S608 - a constant
    handles = sum(worker.num_fds() for worker in system.workers()) - before
    with experiment(f"15 {CANCELLED} searches whose clients hang up") as figures:
        figures.at_most("seconds until all methods answer", healed_in, HEALS_WITHIN_SECONDS, "s")
        figures.at_most("seconds until no connection is in use", idle_in, HEALS_WITHIN_SECONDS, "s")
        figures.at_most("connections to PostgreSQL", held, CONNECTIONS_A_WORKER * len(system.workers()))
        figures.at_most(
            "file handles left over", handles, HANDLES_TOLERATED + CONNECTIONS_A_WORKER * len(system.workers())
        )


async def hang_up(port: int, bodies: list[bytes]) -> None:
    """Ask, and close the connection at once, or after a few milliseconds."""
    turns = asyncio.Semaphore(CANCELLED_AT_A_TIME)

    async def one(number: int, body: bytes) -> None:
        async with turns:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = "POST /search HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await asyncio.sleep(0.002 * (number % 10))
            writer.transport.abort()

    await asyncio.gather(*(one(number, body) for number, body in enumerate(bodies)))


def query(system: System, statement: str) -> list[asyncpg.Record]:
    """Run a statement over a connection of its own."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(system.postgres.dsn, timeout=10)
        try:
            return list(await connection.fetch(statement, timeout=10))
        finally:
            await connection.close(timeout=10)

    return asyncio.run(run())
