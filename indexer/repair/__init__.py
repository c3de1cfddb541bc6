"""Repairs: documents that an index has not as the topic says, handed to the index's one writer, which puts them right.

An index has exactly one writer, so whoever has found faults writes *orders*, files that the running indexer takes up
between two batches (`indexer.repair.orders` has the format). To publish the documents anew would be simpler, and wrong:
it would change all four indexes, and could overtake a version that somebody publishes meanwhile, since Kafka has no
conditional write. An order changes nothing but what is wrong, and holds against whatever happened since
(`indexer.repair.work` says why).
"""

from indexer.repair.orders import RepairDocument, RepairFolder, RepairOrder, RepairReceipt
from indexer.repair.work import Repairs

__all__ = ["RepairDocument", "RepairFolder", "RepairOrder", "RepairReceipt", "Repairs"]
