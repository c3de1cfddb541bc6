"""An index whose writers take their time, and that is held against the topic after each commit."""

import random
from collections.abc import Callable, Sequence

from indexer.writer import Rejection
from streams.change import Change
from streams.watermark import Watermark
from tests.indexer.fake_index import FakeIndex, FakeWriter
from tests.indexer.simulation.process import Process

_MOST_SECONDS = 0.3


class CheckedIndex(FakeIndex):
    """`FakeIndex` that says of each commit that it was made.

    Args:
        check: called then.
        shared: as `FakeIndex`.
    """

    def __init__(self, check: Callable[[], None], *, shared: bool) -> None:
        super().__init__(shared=shared)
        self._check = check

    async def committed(self, changes: list[Change], watermark: Watermark, *, writer: int) -> None:
        """As `FakeIndex.committed`."""
        await super().committed(changes, watermark, writer=writer)
        self._check()


class RemoteWriter:
    """An `IndexWriter` to which every call takes a while, there and back, in which the process may die or stand still.

    Args:
        index: that it writes.
        process: that calls.
        chance: draws how long a call takes.
    """

    def __init__(self, index: CheckedIndex, process: Process, chance: random.Random) -> None:
        self._index = index
        self._process = process
        self._chance = chance
        self._writer: FakeWriter | None = None

    async def open(self) -> "RemoteWriter":
        """Open it."""
        await self._pass()
        self._writer = await self._index.open()
        return self

    def break_off(self) -> None:
        """The process is dead, and the index knows it."""
        if self._writer is not None:
            self._writer.closed = True

    async def watermark(self) -> Watermark:
        """As `IndexWriter.watermark`."""
        await self._pass()
        return await self._open_writer.watermark()

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """As `IndexWriter.apply`."""
        await self._pass()
        return await self._open_writer.apply(changes)

    async def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """Nobody orders any here."""
        raise NotImplementedError

    async def commit(self, watermark: Watermark) -> None:
        """As `IndexWriter.commit`; who dies on the way back has committed and does not know it."""
        await self._pass()
        await self._open_writer.commit(watermark)
        await self._pass()

    async def check(self) -> None:
        """As `IndexWriter.check`."""
        await self._process.turn()
        await self._open_writer.check()

    async def close(self) -> None:
        """As `IndexWriter.close`."""
        await self._process.turn()
        await self._open_writer.close()

    @property
    def _open_writer(self) -> FakeWriter:
        assert self._writer is not None
        return self._writer

    async def _pass(self) -> None:
        await self._process.turn(self._chance.uniform(0, _MOST_SECONDS))
