"""Waiting that ends when the indexer is told to stop."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def unless_stopped(stop: asyncio.Event, share: Coroutine[Any, Any, frozenset[int]]) -> frozenset[int]:
    """Wait for a share of the partitions, which a group may take a minute to give; none once `stop` is set."""
    waiting, stopping = asyncio.create_task(share), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else frozenset()
    finally:
        stopping.cancel()
        waiting.cancel()
        await asyncio.gather(waiting, stopping, return_exceptions=True)


async def wait_or_stop(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
