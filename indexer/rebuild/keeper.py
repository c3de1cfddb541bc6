"""The indexer's side of generations: it feeds those that are to be fed, and removes those that nobody needs any more.

The live generation is always fed. Beside it, so that a swap in either direction is at once and nothing is behind: the
previous one, for as long as the settings say, and one that a rebuild has made ready. Which ones these are is looked up
every second, so whoever swaps them need not tell anybody.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from indexer.errors import IndexFault
from indexer.rebuild.catalogue import Catalogue
from indexer.rebuild.phases import GenerationInfo, Phase, in_phase
from indexer.writer import IndexWriter
from streams.errors import EmbedSearchError

LOOK_SECONDS: Final = 1.0

WriterOpener = Callable[[], Awaitable[IndexWriter]]

_log = structlog.stdlib.get_logger(__name__)


class Feeding(Protocol):
    """What feeds one generation; `indexer.consumer.Indexer` does."""

    async def run(self, stop: asyncio.Event) -> None:
        """Feed it until `stop` is set."""
        ...


class Keeper:
    """Keeps the generations of one index.

    Args:
        catalogue: of the index.
        feed_live: makes what feeds the live generation, from what opens its writer.
        feed_beside: the same for another generation, of that name.
        keep_seconds: how long the previous generation is fed.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        feed_live: Callable[[WriterOpener], Feeding],
        feed_beside: Callable[[str, WriterOpener], Feeding],
        *,
        keep_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._feed_live = feed_live
        self._feed_beside = feed_beside
        self._keep_seconds = keep_seconds
        self._now = now
        self._live: _Feed | None = None
        self._live_name = ""
        self._beside: dict[str, _Feed] = {}
        self._given_up: set[str] = set()
        self._catalogue_answers = True

    async def run(self, stop: asyncio.Event) -> None:
        """Keep them until `stop` is set.

        Raises:
            EmbedSearchError: what feeds the live generation gave up.
        """
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._look()
                feeds = [feed.task for feed in self._feeds()]
                await asyncio.wait([stopping, *feeds], timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                self._check_live()
                self._forget_ended()
        finally:
            stopping.cancel()
            await asyncio.gather(*(feed.end() for feed in self._feeds()))
        self._check_live()

    def _feeds(self) -> list["_Feed"]:
        return [*([self._live] if self._live else []), *self._beside.values()]

    async def _look(self) -> None:
        if self._live is None:
            self._live = _Feed(self._feed_live(self._open_live))
        try:
            generations = await self._catalogue.generations()
            await self._follow_live(generations)
            await self._follow_beside(generations)
            await self._remove(generations)
        except IndexFault as exc:
            if self._catalogue_answers:
                _log.warning("generations cannot be looked up", reason=str(exc))
            self._catalogue_answers = False
        else:
            self._catalogue_answers = True

    async def _open_live(self) -> IndexWriter:
        self._live_name = await self._catalogue.ensure_live()
        return await self._catalogue.open_writer(self._live_name)

    async def _follow_live(self, generations: Sequence[GenerationInfo]) -> None:
        live = in_phase(generations, Phase.LIVE)
        if not live or not self._live_name or live[0].name == self._live_name or self._live is None:
            return  # as it was, or its writer was not opened yet, and will be that of the right one
        _log.info("another generation is live", generation=live[0].name, former=self._live_name)
        await self._end_beside(live[0].name)
        former, self._live_name = self._live, ""
        await former.end()
        former.check()
        self._live = _Feed(self._feed_live(self._open_live))

    async def _follow_beside(self, generations: Sequence[GenerationInfo]) -> None:
        wanted = {each.name for each in in_phase(generations, Phase.READY)}
        wanted |= {each.name for each in in_phase(generations, Phase.PREVIOUS) if not self._expired(each)}
        for name in self._beside.keys() - wanted:
            await self._end_beside(name)
        self._given_up &= wanted
        for name in wanted - self._beside.keys() - self._given_up:
            _log.info("feeding beside the live generation", generation=name)
            self._beside[name] = _Feed(self._feed_beside(name, lambda name=name: self._catalogue.open_writer(name)))  # type: ignore[misc] # mypy cannot infer a lambda's default

    async def _remove(self, generations: Sequence[GenerationInfo]) -> None:
        if not in_phase(generations, Phase.LIVE):
            return  # somebody has removed the pointer, and what is old cannot be told from what was live
        expired = [each for each in in_phase(generations, Phase.PREVIOUS) if self._expired(each)]
        for each in [*in_phase(generations, Phase.RETIRED), *expired]:
            if each.name != self._live_name and await self._catalogue.drop(each):
                _log.info("removed a generation", generation=each.name)

    def _expired(self, generation: GenerationInfo) -> bool:
        return self._now() - generation.since >= self._keep_seconds

    async def _end_beside(self, name: str) -> None:
        feed = self._beside.pop(name, None)
        if feed is not None:
            await feed.end()

    def _check_live(self) -> None:
        if self._live is not None and self._live.task.done():
            self._live.check()

    def _forget_ended(self) -> None:
        for name, feed in list(self._beside.items()):
            if feed.task.done():
                del self._beside[name]
                self._given_up.add(name)
                _log.error("a generation beside the live one is not fed any more", generation=name, reason=feed.failure)


class _Feed:
    """One generation being fed."""

    def __init__(self, feeding: Feeding) -> None:
        self._stop = asyncio.Event()
        self.task = asyncio.create_task(feeding.run(self._stop))

    async def end(self) -> None:
        """Stop feeding, and wait until what was read is committed."""
        self._stop.set()
        await asyncio.wait([self.task])

    def check(self) -> None:
        """Raise what it failed with."""
        self.task.result()

    @property
    def failure(self) -> str:
        """What it failed with, in words."""
        if self.task.cancelled():
            return "cancelled"
        failure = self.task.exception()
        if failure is not None and not isinstance(failure, EmbedSearchError):
            raise failure
        return str(failure or "")
