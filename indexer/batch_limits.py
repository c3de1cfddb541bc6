"""How much is read before it is committed."""

from typing import Final

import msgspec


class BatchLimits(msgspec.Struct, frozen=True):
    """When a batch is full.

    Attributes:
        records: number of records.
        bytes: size of their keys and values.
        age_seconds: time since its first record was added.
    """

    records: int
    bytes: int
    age_seconds: float


EMBEDDING_BATCH: Final = BatchLimits(records=64, bytes=262_144, age_seconds=1.0)
"""Embedding takes seconds a batch; a small one keeps what a crash repeats, and what a poll waits for, small."""
