"""An index in memory whose writers are stricter than any real one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from indexer.errors import GenerationUnusable, WatermarkConflict, WriterFailed
from indexer.writer import Rejection
from streams.change import Change, Upsert
from streams.watermark import Watermark

PATIENCE = 40.0

Fault = Literal["apply", "commit", "after-commit"]
"""Where a writer fails; `after-commit` is a commit that was made and reported as failed."""


class FakeIndex:
    """What survives its writers: documents, and the watermark that belongs to them.

    Args:
        shared: whether several writers may be open, each for partitions of its own.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.shared = shared
        self.documents: dict[str, str] = {}
        self.watermark = Watermark()
        self.commits: list[list[Change]] = []
        self.claims: dict[int, frozenset[int]] = {}
        self.faults: list[tuple[int, Fault]] = []
        self.refused: Callable[[Change], bool] = lambda _: False
        self.damaged = False
        self.ruined = ""
        """What is wrong with it, so that no writer can go on from it."""

        self.checks = 0
        self.writers: list[FakeWriter] = []
        self._changed = asyncio.Condition()

    async def open(self) -> "FakeWriter":
        """Open a writer; one that was not closed is a leak, unless writers share the index."""
        assert self.shared or all(writer.closed for writer in self.writers)
        self.writers.append(FakeWriter(self, number=len(self.writers)))
        return self.writers[-1]

    async def set_aside(self, judged: Watermark) -> None:
        """Begin anew, while no writer is open."""
        assert all(writer.closed for writer in self.writers)
        assert (judged.topic_id, judged.partitions) == (self.watermark.topic_id, self.watermark.partitions)
        self.documents.clear()
        self.watermark = Watermark()

    async def mend(self) -> str:
        """Begin anew if it is ruined, while no writer is open."""
        assert all(writer.closed for writer in self.writers)
        damage, self.ruined = self.ruined, ""
        if damage:
            self.documents.clear()
            self.watermark = Watermark()
        return damage

    def open_claims(self) -> list[frozenset[int]]:
        """The partitions that each open writer spoke for when it committed last."""
        return [claim for number, claim in self.claims.items() if not self.writers[number].closed]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a commit, or for a poll that brought nothing, after which something holds."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(condition)

    async def committed(self, changes: list[Change], watermark: Watermark, *, writer: int) -> None:
        """Make changes and watermark visible together."""
        for change in changes:
            if isinstance(change, Upsert):
                self.documents[change.id] = change.document.body
            else:
                self.documents.pop(change.id, None)
        self.watermark = msgspec.structs.replace(watermark, offsets=self.watermark.offsets | watermark.offsets)
        self.commits.append(changes)
        self.claims[writer] = frozenset(watermark.offsets)
        async with self._changed:
            self._changed.notify_all()

    async def checked(self) -> None:
        """Count that a poll brought nothing."""
        self.checks += 1
        async with self._changed:
            self._changed.notify_all()

    def fault(self) -> Fault | None:
        """The fault that is due after so many commits, once."""
        if self.faults and self.faults[0][0] <= len(self.commits):
            return self.faults.pop(0)[1]
        return None


class FakeWriter:
    """Holds the consumer loop to the contract of `IndexWriter`, call by call."""

    def __init__(self, index: FakeIndex, *, number: int) -> None:
        self._index = index
        self._number = number
        self._seen = index.watermark
        self._applied: list[Change] | None = None
        self._fault: Fault | None = None
        self._failed = False
        self._repairs = False
        self.closed = False

    async def watermark(self) -> Watermark:
        """Read what is committed."""
        assert not self._failed
        assert not self.closed
        self._seen = self._index.watermark
        return self._seen

    async def apply(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """Take changes: one batch a commit, one change a document, in order, none that the watermark covers."""
        assert not self._failed
        assert not self.closed
        assert self._applied is None, "a batch was applied and not committed"
        assert len({change.id for change in changes}) == len(changes), "two changes of one document"
        passed = dict(self._seen.offsets)
        for change in changes:
            at = change.position
            assert at.offset >= passed.get(at.partition, 0), f"{at} was indexed before, or out of order"
            passed[at.partition] = at.offset + 1
        self._fault = self._index.fault()
        await self._fail_at("apply")
        self._applied = [change for change in changes if not self._index.refused(change)]
        return [Rejection(change, "too-odd", "the fake says so") for change in changes if self._index.refused(change)]

    async def repair(self, changes: Sequence[Change]) -> Sequence[Rejection]:
        """Take repairs between two batches: one change a document, none that the watermark does not cover."""
        assert not self._failed
        assert not self.closed
        assert self._applied is None, "a repair within a batch"
        assert len({change.id for change in changes}) == len(changes), "two changes of one document"
        assert all(c.position.offset < self._seen.offsets[c.position.partition] for c in changes), "not read yet"
        self._repairs = True
        self._fault = self._index.fault()
        await self._fail_at("apply")
        self._applied = [change for change in changes if not self._index.refused(change)]
        return [Rejection(change, "too-odd", "the fake says so") for change in changes if self._index.refused(change)]

    async def commit(self, watermark: Watermark) -> None:
        """Make it durable: after `apply`, forward only, covering every change, against the watermark last seen."""
        assert not self._failed
        assert not self.closed
        assert self._applied is not None, "commit before apply"
        assert watermark.topic
        assert watermark.cluster
        offsets, seen = watermark.offsets, self._seen.offsets
        assert all(offsets[partition] >= seen.get(partition, 0) for partition in offsets), "the watermark moved back"
        moved = any(offsets[partition] > seen.get(partition, 0) for partition in offsets)
        assert not (moved and self._repairs), "more than a repair"
        assert moved or self._repairs or watermark.current_ms > self._seen.current_ms, "nothing to commit"
        assert all(offsets[c.position.partition] > c.position.offset for c in self._applied), "a change is not covered"
        if any(self._index.watermark.offsets.get(p, 0) != seen.get(p, 0) for p in offsets):
            self._failed = True
            raise WatermarkConflict("another writer was here first")
        await self._fail_at("commit")
        await self._index.committed(self._applied, watermark, writer=self._number)
        self._seen, self._applied, self._repairs = watermark, None, False
        await self._fail_at("after-commit")

    async def check(self) -> None:
        """Fail once, when the index is said to be damaged."""
        assert not self._failed
        assert not self.closed
        await self._index.checked()
        if self._index.ruined:
            self._failed = True
            raise GenerationUnusable(self._index.ruined)
        if self._index.damaged:
            self._index.damaged, self._failed = False, True
            raise WriterFailed("damaged on purpose")

    async def close(self) -> None:
        """Drop what was not committed."""
        assert not self.closed, "closed twice"
        self.closed = True

    async def _fail_at(self, step: Fault) -> None:
        if self._fault == step:
            self._failed = True
            raise WriterFailed(f"{step} failed on purpose")
