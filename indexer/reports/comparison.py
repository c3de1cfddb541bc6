"""What a comparison of an index with the topic found, and what became of it."""

import msgspec


class RepairResult(msgspec.Struct):
    """What became of the faults of one index.

    Attributes:
        repaired: documents that are as the topic says now.
        superseded: documents that have changed since they were compared, by newer records.
        refused: documents that the index cannot take.
        reason: why not all were repaired; empty when they were.
    """

    repaired: int = 0
    superseded: int = 0
    refused: int = 0
    reason: str = ""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to repair."""
        return not self.reason and not self.refused


class Fault(msgspec.Struct, frozen=True):
    """A document that an index does not have as the topic says.

    Attributes:
        id: of the document.
        indexed: partition:offset of the record that the index has it from, if it has it.
        topic: partition:offset of the record that it should be from, where that is known.
    """

    id: str
    indexed: str | None = None
    topic: str | None = None


class Faults(msgspec.Struct):
    """The faults of one class: how many, and the first of them."""

    count: int = 0
    first: list[Fault] = msgspec.field(default_factory=list)


class IndexComparison(msgspec.Struct):
    """What was found in one index.

    Attributes:
        index: its name.
        documents: how many it holds.
        behind: offsets that it had not read when its snapshot was taken, an upper bound of records.
        changing: documents with records that it had not read, which were not compared.
        refused: documents whose newest version is in the dead letters, of which it may have an older one.
        missing: documents of the topic that it lacks.
        stale: documents that it has in an older version.
        extra: documents that it should not have, or has twice.
        different: documents that it has with another content.
        reason: why it could not be compared; empty when it was.
        repair: what became of the faults, where that was asked for.
    """

    index: str
    documents: int = 0
    behind: int = 0
    changing: int = 0
    refused: int = 0
    missing: Faults = msgspec.field(default_factory=Faults)
    stale: Faults = msgspec.field(default_factory=Faults)
    extra: Faults = msgspec.field(default_factory=Faults)
    different: Faults = msgspec.field(default_factory=Faults)
    reason: str = ""
    repair: RepairResult | None = None

    @property
    def equal(self) -> bool:
        """Whether it was compared, and no fault was found."""
        faults = (self.missing, self.stale, self.extra, self.different)
        return not self.reason and not any(each.count for each in faults)

    @property
    def sound(self) -> bool:
        """Whether it is as the topic says, or was made so."""
        return self.equal or (self.repair is not None and self.repair.complete)
