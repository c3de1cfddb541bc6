"""When a batch is full, and what a commit of it stands for."""

import msgspec
import pytest

from indexer.bad_share import SeenRecord
from indexer.batch import Batch
from indexer.batch_limits import BatchLimits
from streams.change import Change, Position, Upsert
from streams.document import Document, DocumentId
from streams.errors import UndecodableRecord

UNDECODABLE = UndecodableRecord("not-json", "is no JSON")
LIMITS = BatchLimits(records=3, bytes=100, age_seconds=2.0)


class Received(msgspec.Struct, frozen=True):
    """The fields of a Kafka record that a batch looks at."""

    partition: int = 0
    offset: int = 0
    timestamp: int = 1_000
    key: bytes | None = b"k"
    value: bytes | None = b"v"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


def upsert(record: Received, name: str) -> Change:
    """The change that a record stands for."""
    return Upsert(Document(id=DocumentId(name), body="x"), Position(record.partition, record.offset, record.timestamp))


@pytest.fixture
def clock() -> Clock:
    """A clock at some time."""
    return Clock()


@pytest.fixture
def batch(clock: Clock) -> Batch:
    """An empty batch."""
    return Batch(LIMITS, clock)


def test_an_empty_batch_is_never_due(batch: Batch, clock: Clock) -> None:
    """Nothing grows old while there is nothing."""
    clock.now += 1_000
    assert batch.empty
    assert not batch.due
    assert batch.seconds_left() == 2.0


def test_a_batch_is_due_by_count(batch: Batch) -> None:
    """The last record that fits makes it due."""
    due = []
    for offset in range(3):
        batch.add(Received(offset=offset), UNDECODABLE)
        due.append(batch.due)
    assert due == [False, False, True]


def test_a_batch_is_due_by_bytes(batch: Batch) -> None:
    """Keys and values count; tombstones have no value."""
    due = []
    for key, value in ((b"k" * 50, b"v" * 49), (b"k", None)):
        batch.add(Received(key=key, value=value), UNDECODABLE)
        due.append(batch.due)
    assert due == [False, True]


def test_a_batch_is_due_by_the_age_of_its_first_record(batch: Batch, clock: Clock) -> None:
    """Later records do not keep the first one waiting."""
    batch.add(Received(), UNDECODABLE)
    clock.now += 1.5
    batch.add(Received(offset=1), UNDECODABLE)
    early = (batch.due, batch.seconds_left())
    clock.now += 0.5
    assert (early, batch.due) == ((False, 0.5), True)
    clock.now += 9
    assert batch.seconds_left() == 0.0


def test_a_commit_stands_for_every_record_of_it(batch: Batch) -> None:
    """Next offset by partition and the newest time, records that were dead-lettered included."""
    batch.add(Received(partition=0, offset=7, timestamp=30), UNDECODABLE)
    batch.add(Received(partition=2, offset=4, timestamp=10), UNDECODABLE)
    batch.add(Received(partition=0, offset=9, timestamp=20), UNDECODABLE)
    assert batch.offsets == {0: 10, 2: 5}
    assert batch.timestamp_ms == 30


def test_only_the_last_change_of_a_document_is_written(batch: Batch) -> None:
    """But every record stays at hand, byte for byte, for the dead letters."""
    records = [Received(offset=offset, value=b"%d" % offset) for offset in range(3)]
    changes = [upsert(record, name) for record, name in zip(records, ("a", "b", "a"), strict=True)]
    for record, change in zip(records, changes, strict=True):
        batch.add(record, change)
    assert batch.changes == [changes[1], changes[2]]
    assert [batch.record_at(change.position) for change in changes] == records


def test_a_batch_of_dead_letters_has_no_changes_but_offsets(batch: Batch) -> None:
    """The watermark must pass them."""
    batch.add(Received(offset=5), UNDECODABLE)
    assert batch.undecodable == [(Received(offset=5), UNDECODABLE)]
    assert batch.seen() == [SeenRecord(0, 5, "not-json: is no JSON")]
    assert batch.changes == []
    assert not batch.empty
    assert batch.offsets == {0: 6}
