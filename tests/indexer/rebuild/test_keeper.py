"""Which generations an indexer feeds, and which it removes, on real files with feeds that only open writers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from indexer.errors import GenerationUnusable
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.keeper import Keeper, WriterOpener
from indexer.rebuild.phases import Phase, RebuildRecord
from indexer.registry import open_catalogue
from streams.settings import Settings
from tests.system.waiting import until

DAY = 86_400.0


class Feed:
    """Opens a writer and holds it until it is stopped."""

    def __init__(self, log: "Feeds", kind: str, open_writer: WriterOpener) -> None:
        self._log = log
        self._kind = kind
        self._open_writer = open_writer

    async def run(self, stop: asyncio.Event) -> None:
        """As the keeper wants it."""
        if self._kind in self._log.broken:
            raise GenerationUnusable(f"{self._kind} is broken")
        writer = await self._open_writer()
        self._log.running.append(self._kind)
        await stop.wait()
        self._log.running.remove(self._kind)
        await writer.close()


class Feeds:
    """What runs, by `live` or the name of the generation beside it."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.broken: set[str] = set()
        self.now = 0.0

    async def are(self, *kinds: str) -> None:
        """Wait until just these run."""

        async def reached() -> bool:
            return sorted(self.running) == sorted(kinds)

        await until(reached, f"feeds {kinds}, not {self.running}", 20)


@pytest.fixture
async def catalogue(tmp_path: Path) -> AsyncIterator[Catalogue]:
    """The generations of native, none of them made yet."""
    async with open_catalogue("native", Settings().model_copy(update={"data_dir": tmp_path})) as opened:
        yield opened


@asynccontextmanager
async def keeping(
    catalogue: Catalogue, feeds: Feeds, *, keep_seconds: float = DAY
) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a keeper."""
    stop = asyncio.Event()
    keeper = Keeper(
        catalogue,
        lambda open_writer: Feed(feeds, "live", open_writer),
        lambda name, open_writer: Feed(feeds, name, open_writer),
        keep_seconds=keep_seconds,
        now=lambda: feeds.now,
    )
    running = asyncio.create_task(keeper.run(stop))
    try:
        yield running
    finally:
        stop.set()
        await running
    assert feeds.running == []


async def names(catalogue: Catalogue) -> dict[str, Phase]:
    """What there is."""
    return {each.name: each.phase for each in await catalogue.generations()}


async def test_the_live_generation_is_fed_and_followed(catalogue: Catalogue) -> None:
    """What is ready is fed beside it; put live, it is fed as such, and the one before stays fed, in both directions."""
    feeds = Feeds()
    async with keeping(catalogue, feeds):
        await feeds.are("live")
        second = await catalogue.prepare()
        await catalogue.tell(second, RebuildRecord().told(Phase.READY))
        await feeds.are("live", second)
        await catalogue.promote(second)
        await feeds.are("live", "g000001")
        await catalogue.promote("g000001")
        await feeds.are("live", second)


async def test_a_generation_that_is_rebuilt_is_left_to_the_rebuild(catalogue: Catalogue) -> None:
    """Its writer is elsewhere, and it is not removed either."""
    feeds = Feeds()
    await catalogue.ensure_live()
    replaying = await catalogue.prepare()
    async with keeping(catalogue, feeds, keep_seconds=0):
        await feeds.are("live")
        ready = RebuildRecord().told(Phase.READY)
        await catalogue.tell(replaying, ready)
        await feeds.are("live", replaying)
        await catalogue.tell(replaying, ready.told(Phase.REFUSED))
        await feeds.are("live")
    assert await names(catalogue) == {"g000001": Phase.LIVE, replaying: Phase.REFUSED}


async def test_the_previous_generation_goes_when_its_time_is_over(catalogue: Catalogue) -> None:
    """And so does what is older than that at once."""
    feeds = Feeds()
    await catalogue.ensure_live()
    for _ in range(2):
        await catalogue.promote(await catalogue.prepare())
    since = next(each.since for each in await catalogue.generations() if each.phase is Phase.PREVIOUS)
    feeds.now = since + DAY - 1
    async with keeping(catalogue, feeds):
        await feeds.are("live", "g000002")
        await until_names(catalogue, {"g000002": Phase.PREVIOUS, "g000003": Phase.LIVE})
        feeds.now = since + DAY
        await until_names(catalogue, {"g000003": Phase.LIVE})
        await feeds.are("live")


async def until_names(catalogue: Catalogue, expected: dict[str, Phase]) -> None:
    """Wait until there are just these."""

    async def reached() -> bool:
        return await names(catalogue) == expected

    await until(reached, str(expected), 20)


async def test_what_breaks_beside_the_live_generation_does_not_break_it(catalogue: Catalogue) -> None:
    """It is not tried again and again either; a live one that breaks ends the indexer, with its reason."""
    feeds = Feeds()
    await catalogue.ensure_live()
    second = await catalogue.prepare()
    await catalogue.tell(second, RebuildRecord().told(Phase.READY))
    feeds.broken = {second}
    async with keeping(catalogue, feeds):
        await feeds.are("live")
    feeds.broken = {"live"}
    with pytest.raises(GenerationUnusable, match="live is broken"):
        async with keeping(catalogue, feeds) as running:
            await asyncio.wait([running])
