"""Looks at the system once a second and writes down what it sees: a day of samples lies on disk, and not in memory."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from indexer.stopping import wait_or_stop
from infra.bench.soak.processes import ProcessTable, Usage
from infra.local.key import key_header
from streams.settings import METHODS

SAMPLE_SECONDS: Final = 1.0

_PATIENCE_SECONDS: Final = 5.0
_NO_ANSWER: Final = "no answer"


class Sample(msgspec.Struct, frozen=True):
    """The system at a moment.

    Attributes:
        at: seconds since the system was ready.
        phase: of the soak.
        health: what `/health` said, or why it said nothing.
        unhealthy: what it said of each part that is not healthy.
        lag: seconds that each index was behind at most, see `LagWatch`.
        processes: what each used.
    """

    at: float
    phase: str
    health: str
    unhealthy: dict[str, str]
    lag: dict[str, float]
    processes: dict[str, Usage]


class Sampler:
    """Takes samples of a system whose indexes have read all when it begins.

    Args:
        url: of the API.
        table: of the processes.
        file: for a sample a line.

    Attributes:
        phase: of the soak, as samples tell it.
    """

    def __init__(
        self, url: str, table: ProcessTable, file: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._table = table
        self._file = file
        self._clock = clock
        self._lag = LagWatch(level_at=0.0)
        self.phase = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Take one a second until told to stop; one that takes longer leaves the next ones out."""
        began = self._clock()
        with self._file.open("wb") as samples:
            async with httpx.AsyncClient(
                base_url=self._url, timeout=_PATIENCE_SECONDS, trust_env=False, headers=key_header()
            ) as http:
                while not stop.is_set():
                    sample = await self._sample(http, began)
                    samples.write(msgspec.json.encode(sample) + b"\n")
                    samples.flush()
                    await wait_or_stop(stop, SAMPLE_SECONDS - (self._clock() - began) % SAMPLE_SECONDS)

    async def _sample(self, http: httpx.AsyncClient, began: float) -> Sample:
        at, phase = self._clock() - began, self.phase
        processes = await asyncio.to_thread(self._table.usage)
        try:
            health = (await http.get("/health")).json()
        except (httpx.TransportError, ValueError) as exc:
            return Sample(at, phase, f"{_NO_ANSWER}: {type(exc).__name__}", {}, {}, processes)
        parts: dict[str, dict[str, Any]] = health["components"]
        unhealthy = {name: str(part["message"]) for name, part in parts.items() if part["status"] != "healthy"}
        return Sample(at, phase, str(health["status"]), unhealthy, self._lag.at_most(at, lag_of(health)), processes)


class LagWatch:
    """Bounds how far indexes are behind by two things that are known: what they have read, and when they had read all.

    The newest record that was read is as old as the topic was quiet, whatever is left since; and what is left is no
    older than the last look at which nothing was.

    Args:
        level_at: when that was of all indexes.
    """

    def __init__(self, *, level_at: float) -> None:
        self._began = level_at
        self._level_at: dict[str, float] = {}

    def at_most(self, at: float, lag: Mapping[str, float]) -> dict[str, float]:
        """Seconds that each index is behind at most.

        Args:
            at: seconds on a clock that never goes back.
            lag: as `lag_of`.
        """
        self._level_at |= {name: at for name, seconds in lag.items() if not seconds}
        return {name: min(seconds, at - self._level_at.get(name, self._began)) for name, seconds in lag.items()}


def at_rest(health: Mapping[str, Any]) -> bool:
    """Whether a system is healthy, and its indexes have nothing left to read."""
    lag = lag_of(health)
    return health["status"] == "healthy" and bool(lag) and not any(lag.values())


def lag_of(health: Mapping[str, Any]) -> dict[str, float]:
    """The age of the newest record that each index has read, or 0 where none is left, as far as `/health` knows."""
    parts: dict[str, dict[str, Any]] = health["components"]
    details = {str(name): parts[name].get("details") or {} for name in METHODS if name in parts}
    return {name: seconds for name, each in details.items() if (seconds := _lag(each)) is not None}


def _lag(details: dict[str, Any]) -> float | None:
    """The same of one index; None where it is not known."""
    left = details.get("lag")
    if left is None:
        return None
    return float(details.get("lag_seconds") or 0.0) if sum(left.values()) else 0.0
