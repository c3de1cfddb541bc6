"""Filtered search among 50,000 vectors, of which three tenths were updated and not vacuumed: experiment 21."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.figures import experiment
from tests.indexer.semantic.recall import EVERY, RECALL, Found, Tagged

DOCUMENTS = 50_000


async def searched(database_dsn: str, model_path: Path) -> dict[str, Found]:
    """What was found with each tag."""
    tagged = Tagged(DOCUMENTS)
    async with tagged.index(database_dsn, model_path) as (connection, generation):
        return {tag: await tagged.search(connection, generation, tag) for tag in EVERY}


@pytest.mark.timeout(1_800)
def test_filtered_recall(database_dsn: str, model_path: Path) -> None:
    """As many as there are, or as were asked for, and of the best ten nearly all, however many pass."""
    found = asyncio.run(searched(database_dsn, model_path))
    with experiment(f"21 filters over {DOCUMENTS:,} vectors, three tenths updated") as figures:
        for tag, each in found.items():
            figures.exactly(
                f"{tag}: searches with another count, or with a document that does not pass", each.faults, 0
            )
            figures.at_least(f"{tag}: recall@10", each.recall, RECALL[tag])
