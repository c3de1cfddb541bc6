"""What the topic says of the documents that an index has not as it should: what a repair is to make of each."""

from typing import NamedTuple

import numpy as np

from infra.verification.judgement import NO_OFFSET, Judgement, Kind, Rows, newest_versions
from infra.verification.spill import Spill

_Document = tuple[int, int]
"""The two halves of the hash of an id."""


class Target(NamedTuple):
    """How a document should be.

    Attributes:
        id: of the document.
        partition: of the record that decides, or of that which the index has, where the topic has none.
        offset: of that record; `NO_OFFSET` where the topic has none.
        present: whether the index should have it, as that record says.
    """

    id: str
    partition: int
    offset: int
    present: bool


def targets(judged: Judgement, topic: Rows, topic_ids: Spill, indexed_ids: Spill) -> list[Target]:
    """How the faulty documents of one part should be, each once.

    Args:
        judged: the faults.
        topic: rows of the same part.
        topic_ids: knows the ids of the topic's rows.
        indexed_ids: knows the ids of the index's rows.
    """
    faulty: dict[_Document, tuple[str, int]] = {}
    for found, ids in (
        (judged.missing, topic_ids),
        (judged.stale, indexed_ids),
        (judged.different, indexed_ids),
        (judged.extra, indexed_ids),
    ):
        for row in found.rows:
            faulty.setdefault(_document(row), (ids.id_at(int(row["place"])), int(row["partition"])))
    versions = _versions(topic, faulty)
    return [_target(name, partition, versions[document]) for document, (name, partition) in faulty.items()]


def _versions(topic: Rows, faulty: dict[_Document, tuple[str, int]]) -> dict[_Document, list[np.void]]:
    """The newest record in each partition of each faulty document."""
    versions: dict[_Document, list[np.void]] = {document: [] for document in faulty}
    highs = np.array([high for high, _ in faulty], np.uint64)
    for row in newest_versions(topic[np.isin(topic["high"], highs)]):
        if (document := _document(row)) in versions:
            versions[document].append(row)
    return versions


def _target(name: str, partition: int, versions: list[np.void]) -> Target:
    """Of several partitions the one that the index has it from, if it holds the document, else any that does."""
    if not versions:
        return Target(name, partition, NO_OFFSET, present=False)
    upserts = [row for row in versions if row["kind"] == Kind.UPSERT]
    candidates = upserts or versions
    same = [row for row in candidates if row["partition"] == partition]
    row = (same or candidates)[-1]
    return Target(name, int(row["partition"]), int(row["offset"]), present=bool(upserts))


def _document(row: np.void) -> _Document:
    return int(row["high"]), int(row["low"])
