"""A replay beside somebody who publishes."""

import asyncio

import pytest

from indexer.health.progress import Progress
from indexer.rebuild.phases import RebuildRecord
from indexer.throttle import Throttle
from infra.rebuild.replay import Replay
from streams.topics import TopicOffsets
from streams.watermark import Watermark

LOOKS_APART = 6.0
"""Seconds between two looks, by the clock of the topic."""

READ_AT_ONCE = 100
"""Records that the indexer reads between two looks if it works all of its time."""


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks no time passes but by the clock of the topic."""
    monkeypatch.setattr("infra.rebuild.replay.LOOK_SECONDS", 0.001)


class Topic:
    """A topic that grows with each look at it, as fast as an indexer reads that works half of its time.

    Attributes:
        now: its clock, in seconds.
    """

    def __init__(self, throttle: Throttle) -> None:
        self.now = 0.0
        self.progress = Progress(60)
        self._throttle = throttle
        self._read, self._end = 0, 1_000

    async def read(self) -> TopicOffsets:
        """The range, a while later than before."""
        self.now += LOOKS_APART
        self._end += READ_AT_ONCE // 2
        self._read = min(self._end, self._read + int(READ_AT_ONCE * self._throttle.share))
        self.progress.work_ended(Watermark("documents", "c1", {0: self._read}, 0))
        return TopicOffsets("c1", {0: 0}, {0: self._end})

    async def close(self) -> None:
        """Nothing to let go of."""

    async def run(self, stop: asyncio.Event) -> None:
        """Index until told to stop."""
        await stop.wait()


async def replayed(share: float) -> tuple[RebuildRecord, Throttle]:
    """The outcome of a replay that may work a share of its time."""
    throttle = Throttle(share)
    topic = Topic(throttle)

    async def tell(_: RebuildRecord) -> None: ...

    replay = Replay(topic, topic.progress, topic, tell, throttle, clock=lambda: topic.now)
    async with asyncio.timeout(60):
        record = await replay.run(RebuildRecord(), slack=64, patience=10)
    return record, throttle


async def test_one_that_gains_nothing_works_more() -> None:
    """It would go on for ever: the topic grows as fast as it reads."""
    record, throttle = await replayed(0.5)
    assert record.total - record.read <= 64
    assert throttle.share == 1


async def test_one_that_gains_rests_as_it_should() -> None:
    """Searches keep what is theirs for as long as it comes nearer to the end."""
    record, throttle = await replayed(0.75)
    assert record.total - record.read <= 64
    assert throttle.share == 0.75
