"""Histories of an index: what may happen to one, step by step, and what it must hold after each commit.

Documents come from two partitions, are updated and deleted in small and large batches, come once more, and what was
not committed is lost when the writer is opened anew. An index holds what was committed, each document once.
"""

import msgspec
from hypothesis import strategies as st

from indexer.dump import DumpedDocument, content_hash
from indexer.writer import IndexWriter
from streams.change import Change
from streams.watermark import Watermark
from tests.indexer.contract.changes import EPOCH_MS, delete, upsert
from tests.indexer.contract.harness import Index

PARTITIONS = 2
BODIES = ("circuit breaker", "breaker of circuits", "the open sea", "snake_case x86", "a b c d e f")


class Put(msgspec.Struct, frozen=True):
    """New versions of some documents, by number and body, in one batch."""

    versions: tuple[tuple[int, int], ...]


class Remove(msgspec.Struct, frozen=True):
    """Tombstones of some documents, in one batch."""

    numbers: tuple[int, ...]


class Commit(msgspec.Struct, frozen=True):
    """A commit of what was applied."""


class PutOneByOne(msgspec.Struct, frozen=True):
    """New versions, each in a commit of its own: as many make an engine merge.

    Attributes:
        versions: as of `Put`.
        reopens: whether another writer is opened at once, while it merges.
    """

    versions: tuple[tuple[int, int], ...]
    reopens: bool


class Again(msgspec.Struct, frozen=True):
    """The newest of the committed records once more, as after a commit that Kafka was not told of."""

    count: int


class Reopen(msgspec.Struct, frozen=True):
    """Another writer; what was not committed is lost."""


Step = Put | Remove | Commit | PutOneByOne | Again | Reopen

_NUMBERS = st.integers(0, 29)
_VERSIONS = st.tuples(_NUMBERS, st.integers(0, len(BODIES) - 1))
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.lists(_VERSIONS, min_size=1, max_size=12).map(lambda drawn: Put(tuple(drawn))),
    st.lists(_NUMBERS, min_size=1, max_size=3).map(lambda drawn: Remove(tuple(drawn))),
    st.just(Commit()),
    st.builds(PutOneByOne, st.lists(_VERSIONS, min_size=1, max_size=9).map(tuple), st.booleans()),
    st.integers(1, 6).map(Again),
    st.just(Reopen()),
)


class History:
    """Takes an index through steps.

    Args:
        index: under test; it may have a history.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._log: list[Change] = []
        self._committed_log = 0
        self._following = dict.fromkeys(range(PARTITIONS), 0)
        self._committed = dict(self._following)
        self._applied: dict[str, DumpedDocument] = {}
        self._held: dict[str, DumpedDocument] = {}

    async def take(self, steps: list[Step]) -> None:
        """Take all steps, and see that the index holds what it should after each commit."""
        writer = await self._index.open_writer()
        try:
            for step in steps:
                match step:
                    case Put(versions=versions):
                        await writer.apply([self._put(*version) for version in versions])
                    case Remove(numbers=numbers):
                        await writer.apply([self._remove(number) for number in numbers])
                    case Commit():
                        await writer.commit(self._commit())
                        await self._check()
                    case PutOneByOne(versions=versions, reopens=reopens):
                        for version in versions:
                            await writer.apply([self._put(*version)])
                            await writer.commit(self._commit())
                        if reopens:
                            writer = await self._reopened(writer)
                        else:
                            await self._check()
                    case Again(count=count):
                        await writer.apply(self._log[: self._committed_log][-count:])
                    case Reopen():
                        writer = await self._reopened(writer)
        finally:
            await writer.close()

    async def _reopened(self, writer: IndexWriter) -> IndexWriter:
        await writer.close()
        self._forget()
        another = await self._index.open_writer()
        assert (await another.watermark()).offsets == self._read()
        return another

    def _put(self, number: int, body: int) -> Change:
        partition, name = number % PARTITIONS, f"d{number}"
        change = upsert(name, BODIES[body], offset=self._next(partition), partition=partition)
        position = change.position
        content = content_hash(change.document)
        self._applied[name] = DumpedDocument(change.id, position.partition, position.offset, content)
        return self._logged(change)

    def _remove(self, number: int) -> Change:
        partition, name = number % PARTITIONS, f"d{number}"
        self._applied.pop(name, None)
        return self._logged(delete(name, offset=self._next(partition), partition=partition))

    def _next(self, partition: int) -> int:
        self._following[partition] += 1
        return self._following[partition] - 1

    def _logged(self, change: Change) -> Change:
        self._log.append(change)
        return change

    def _commit(self) -> Watermark:
        self._held, self._committed, self._committed_log = dict(self._applied), dict(self._following), len(self._log)
        return Watermark(cluster="tests", offsets=self._read(), timestamp_ms=EPOCH_MS)

    def _read(self) -> dict[int, int]:
        return {partition: offset for partition, offset in self._committed.items() if offset}

    def _forget(self) -> None:
        self._applied, self._following = dict(self._held), dict(self._committed)
        del self._log[self._committed_log :]

    async def _check(self) -> None:
        async with self._index.open_dump() as dump:
            held = [document async for batch in dump.batches() for document in batch]
            assert dump.watermark.offsets == self._read()
        assert sorted(held) == sorted(self._held.values())
