"""Runs a soak on a system of its own: what is sent, what is looked at meanwhile, and what came of it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

import httpx
import msgspec

from infra.bench.errors import BenchFailed
from infra.bench.soak.ab import AbFigures, find_ab, run_ab
from infra.bench.soak.bursts import Burst, search_highest
from infra.bench.soak.changes import Changes
from infra.bench.soak.client import Load, Outcome
from infra.bench.soak.criteria import AIMED_CACHED_RATE, AIMED_DISTINCT_RATE, Results
from infra.bench.soak.findings import find, read_samples
from infra.bench.soak.load import outcome_of, send
from infra.bench.soak.plan import AFTER, BEFORE, BURSTS, OPENING, STEADY, SoakPlan
from infra.bench.soak.processes import ProcessTable
from infra.bench.soak.queries import Queries, corpus_texts
from infra.bench.soak.sampling import Sampler, at_rest
from infra.local.follow import Progress
from infra.local.running import running_system
from infra.local.sample import CORPUS_FILE, SampleLoader
from infra.local.system import LocalSystem
from infra.supervisor.events import Event, Failed, Started

SAMPLES_FILE: Final = "samples.ndjson"
SPANS_FILE: Final = "searches.ndjson"

_SPANS: Final = 120
_SPAN_SECONDS: Final = (1.0, 60.0)
_AT_REST_WITHIN: Final = 300.0
_LOOK_EVERY: Final = 0.5
_REST_SECONDS: Final = 5.0
_GENTLE_RATE: Final = 50.0
_GENTLE_SECONDS: Final = 3.0
_GENTLE_TRIES: Final = 5
_BURST_PATIENCE: Final = 3.0
_QUERIES_APART: Final = 100_000_000
"""Between the first queries of two loads, so that they share none."""


class Soak:
    """A soak.

    Args:
        system: to run.
        plan: what to do.
        folder: for what is seen.
        show: told of each step.
    """

    def __init__(self, system: LocalSystem, plan: SoakPlan, folder: Path, show: Progress) -> None:
        self._system = system
        self._plan = plan
        self._folder = folder
        self._show = show
        self._services: dict[str, int] = {}
        self._failures: list[str] = []
        self._corpus = system.directory.root / CORPUS_FILE
        self._loads = count()

    async def run(self) -> Results:
        """Run it, from the start of the system to its stop.

        Raises:
            BenchFailed: what measures failed, or is not installed.
            StartError: the system does not start.
        """
        find_ab()
        samples = self._folder / SAMPLES_FILE
        async with running_system(self._system, self._note):
            await self._load_sample()
            queries = await asyncio.to_thread(lambda: Queries(corpus_texts(self._corpus)))
            began = time.monotonic()
            processes = ProcessTable(self._services, self._system.directory.indexes)
            sampler = Sampler(self._system.url, processes, samples)
            changes = Changes(self._system.url, queries, self._plan.changes)
            async with _beside(sampler, changes):
                sampler.phase = BEFORE
                await self._rest()
                sampler.phase = OPENING
                opening = await self._opening()
                sampler.phase = STEADY
                steady = await self._steady()
                sampler.phase = BURSTS
                cached = await self._bursts(AIMED_CACHED_RATE, cached=True)
                distinct = await self._bursts(AIMED_DISTINCT_RATE, cached=False)
                await self._settle(_GENTLE_SECONDS, cached=False)
                sampler.phase = AFTER
                await self._rest()
            seconds = time.monotonic() - began
        findings = find(read_samples(samples), seconds=seconds, warm_up=self._plan.warm_up)
        return Results(opening, steady, dict(changes.outcomes), self._failures, findings, cached, distinct)

    def _note(self, event: Event) -> None:
        match event:
            case Started(service=service, pid=pid):
                self._services[service] = pid
            case Failed(service=service, reason=reason):
                self._failures.append(f"{service} {reason}")

    async def _load_sample(self) -> None:
        system = self._system
        loader = SampleLoader(
            system.directory.root,
            bootstrap_servers=system.kafka,
            topic=system.settings.topic,
            url=system.url,
            documents=self._plan.documents,
        )
        await loader.load(self._show)
        await self._until_at_rest()

    async def _until_at_rest(self) -> None:
        """Wait until the system is healthy and has read all, also what an earlier run in its directory has left."""
        deadline = time.monotonic() + _AT_REST_WITHIN
        async with httpx.AsyncClient(base_url=self._system.url, timeout=_AT_REST_WITHIN, trust_env=False) as http:
            while not at_rest(health := (await http.get("/health")).json()):
                if time.monotonic() > deadline:
                    raise BenchFailed(f"the system is not at rest {_AT_REST_WITHIN:.0f} s after its start: {health}")
                await asyncio.sleep(_LOOK_EVERY)  # between two looks at a condition that nothing announces

    async def _rest(self) -> None:
        """Let the sampler look at a system that nobody asks, for some samples."""
        await asyncio.sleep(_REST_SECONDS)

    async def _opening(self) -> AbFigures:
        self._show("ab", 0.0)
        url = f"http://localhost:{self._system.settings.port}/search"
        figures = await run_ab(url, requests=self._plan.ab_requests, concurrency=self._plan.ab_concurrency)
        self._show("ab", 1.0)
        return figures

    async def _steady(self) -> Outcome:
        plan = self._plan
        shortest, longest = _SPAN_SECONDS
        load = self._load(plan.rate, plan.seconds, span=min(longest, max(shortest, plan.seconds / _SPANS)))
        outcome = Outcome()
        with (self._folder / SPANS_FILE).open("wb") as spans:
            async for span in send(load):
                spans.write(msgspec.json.encode(span) + b"\n")
                outcome.add(span)
                self._show("searches", (span.start + load.span) / plan.seconds)
        return outcome

    async def _bursts(self, aim: float, *, cached: bool) -> list[Burst]:
        step = "cached" if cached else "distinct"
        self._show(step, 0.0)

        async def run(rate: float) -> Outcome:
            seconds = self._plan.burst_seconds
            await self._settle(min(seconds, _GENTLE_SECONDS), cached=cached)
            return await outcome_of(self._load(rate, seconds, span=seconds, cached=cached, patience=_BURST_PATIENCE))

        bursts = await search_highest(aim, run)
        self._show(step, 1.0)
        return bursts

    async def _settle(self, seconds: float, *, cached: bool) -> None:
        """Ask a little until all methods answer: breakers that a burst before has opened close again by searches."""
        for _ in range(_GENTLE_TRIES):
            load = self._load(_GENTLE_RATE, seconds, span=seconds, cached=cached)
            outcome = await outcome_of(load)
            if outcome.failed == outcome.partial == 0:
                return

    def _load(self, rate: float, seconds: float, *, span: float, cached: bool = False, patience: float = 10.0) -> Load:
        first = next(self._loads) * _QUERIES_APART
        return Load(self._system.settings.port, str(self._corpus), rate, seconds, span, first, cached, patience)


@asynccontextmanager
async def _beside(sampler: Sampler, changes: Changes) -> AsyncIterator[None]:
    """Sample and change for as long as the block; the first failure of any of the three ends it."""
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(sampler.run(stop))
            group.create_task(changes.run(stop))
            try:
                yield
            finally:
                stop.set()
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
