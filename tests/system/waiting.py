"""Waiting for a condition, never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_LOOK_EVERY_SECONDS = 0.05


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 120.0) -> None:
    """Wait until a condition holds, and fail naming it when it does not in time."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
