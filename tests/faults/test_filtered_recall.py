"""Filtered search among 50,000 passages, of which three tenths were updated and not vacuumed: experiment 21.

Of real texts by the real model: vectors of any direction, of 384 dimensions, are all about as far from each other, so
that an index finds three quarters of the best ten, and nobody misses the others.
"""

import asyncio
from pathlib import Path

import pytest

from tests.faults.figures import experiment
from tests.indexer.semantic.recall import EVERY, RECALL, Found, StandardLibrary, Tagged

DOCUMENTS = 50_000


async def searched(database_dsn: str, model_path: Path) -> dict[str, Found]:
    """What was found with each tag."""
    tagged = Tagged(DOCUMENTS, StandardLibrary(DOCUMENTS))
    async with tagged.index(database_dsn, model_path) as index:
        return {tag: await tagged.search(index, tag) for tag in EVERY}


@pytest.mark.timeout(3_600)
def test_filtered_recall(database_dsn: str, model_path: Path) -> None:
    """As many as there are, or as were asked for, and of the best ten nearly all, however many pass."""
    found = asyncio.run(searched(database_dsn, model_path))
    with experiment(f"21 filters over {DOCUMENTS:,} vectors, three tenths updated") as figures:
        for tag, each in found.items():
            figures.exactly(
                f"{tag}: searches with another count, or with a document that does not pass", each.faults, 0
            )
            figures.at_least(f"{tag}: recall@10", each.recall, RECALL[tag])
