"""Runs the client and collects what it tells."""

import asyncio
import sys
from collections.abc import AsyncIterator

import msgspec

from infra.bench.errors import BenchFailed
from infra.bench.soak.client import Load, Outcome, Span

_LINE_BYTES = 1 << 20


async def send(load: Load) -> AsyncIterator[Span]:
    """Send a load from a process of its own, which ends with the block that reads; tells each span as it is over.

    Raises:
        BenchFailed: the client ended early.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.bench.soak.client"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    assert process.stdin is not None  # noqa: S101 - both are pipes, as asked
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(msgspec.json.encode(load))
        process.stdin.close()
        async for line in process.stdout:
            yield msgspec.json.decode(line, type=Span)
        if await process.wait():
            raise BenchFailed(f"the client that sends searches ended with status {process.returncode}")
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def outcome_of(load: Load) -> Outcome:
    """Send a load and sum up what became of it."""
    outcome = Outcome()
    async for span in send(load):
        outcome.add(span)
    return outcome
