"""Orders of repair and their receipts: small files in the data directory, each replaced or removed as a whole.

    <data>/repairs/<index>/<name>.order      what to put right, MessagePack
    <data>/repairs/<index>/<name>.receipt    what became of it, MessagePack

Whoever writes an order waits for its receipt and removes both, or takes the order back. The indexer writes the receipt
after its commit and removes the order after that, so a crash in between only has the same repair done again.
"""

import time
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from indexer.durable import make_directory, replace_file, sync_directory

EXPIRES_AFTER_SECONDS: Final = 3_600.0
"""An order whose writer is gone is dropped. It must be long before Kafka may forget the tombstones that came since."""

_ORDER: Final = ".order"
_RECEIPT: Final = ".receipt"

_Content = TypeVar("_Content")


class RepairDocument(msgspec.Struct, frozen=True):
    """A document, and what the topic says of it.

    Attributes:
        id: of the document.
        offset: of its newest record, in the order's partition; -1 if it never had one.
        timestamp_ms: of that record.
        value: of that record; None where the index must not have the document.
    """

    id: str
    offset: int = -1
    timestamp_ms: int = 0
    value: bytes | None = None


class RepairOrder(msgspec.Struct, frozen=True):
    """Documents of one partition to put right in one index.

    Attributes:
        topic: the topic's name.
        cluster: the Kafka cluster's id.
        partition: that the documents are in.
        read_to: offset up to which the partition was read when they were looked up: no record of theirs is newer there.
        documents: each once.
        written_at: seconds since the epoch.
    """

    topic: str
    cluster: str
    partition: int
    read_to: int
    documents: tuple[RepairDocument, ...]
    written_at: float

    @property
    def expired(self) -> bool:
        """Whether whoever wrote it waits no more."""
        return time.time() - self.written_at > EXPIRES_AFTER_SECONDS


class RepairReceipt(msgspec.Struct, frozen=True):
    """What became of an order.

    Attributes:
        repaired: documents that are as the topic says now.
        superseded: documents that have changed since, by newer records, and were left alone.
        refused: documents that the index cannot take.
        reason: why the order was not carried out; empty when it was.
    """

    repaired: int = 0
    superseded: int = 0
    refused: int = 0
    reason: str = ""


class RepairFolder:
    """The orders for one index, and their receipts.

    Args:
        data_directory: of the system.
        index: the index's name.

    Attributes:
        directory: where they lie; made with the first order.
    """

    def __init__(self, data_directory: Path, index: str) -> None:
        self.directory = data_directory / "repairs" / index

    def hand_in(self, name: str, order: RepairOrder) -> None:
        """Write an order."""
        make_directory(self.directory)
        replace_file(self.directory / f"{name}{_ORDER}", msgspec.msgpack.encode(order))

    def receipt(self, name: str) -> RepairReceipt | None:
        """The receipt of an order, once there is one.

        Raises:
            ValueError: it is damaged.
        """
        return _read(self.directory / f"{name}{_RECEIPT}", RepairReceipt)

    def take_back(self, name: str) -> None:
        """Remove an order and its receipt; what is being done of it is done all the same."""
        for suffix in (_ORDER, _RECEIPT):
            (self.directory / f"{name}{suffix}").unlink(missing_ok=True)

    def names(self) -> list[str]:
        """The orders that wait, in the order of their names; one look at the folder."""
        try:
            return sorted(path.stem for path in self.directory.iterdir() if path.suffix == _ORDER)
        except FileNotFoundError:
            return []

    def order(self, name: str) -> RepairOrder | None:
        """An order, if it was not taken back; one that cannot be read gets a receipt that says so."""
        try:
            return _read(self.directory / f"{name}{_ORDER}", RepairOrder)
        except ValueError as exc:
            self.close(name, RepairReceipt(reason=f"the order cannot be read: {exc}"))
            return None

    def close(self, name: str, receipt: RepairReceipt) -> None:
        """Say what became of an order, and remove it."""
        replace_file(self.directory / f"{name}{_RECEIPT}", msgspec.msgpack.encode(receipt))
        self.drop(name)

    def drop(self, name: str) -> None:
        """Remove an order."""
        (self.directory / f"{name}{_ORDER}").unlink(missing_ok=True)
        sync_directory(self.directory)


def _read(path: Path, kind: type[_Content]) -> _Content | None:
    """What a file says; None where there is none."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
