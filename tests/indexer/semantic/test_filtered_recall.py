"""Nearest neighbours among few documents and among many, after updates: as many as there are, and the right ones."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from indexer.semantic import nearest
from indexer.semantic.nearest import MIN_CANDIDATES
from indexer.semantic.passing import few_pass, passing_documents
from tests.indexer.semantic.recall import EVERY, RECALL, AnyDirection, Index, Tagged, tagged

TAGGED = Tagged(4_000, AnyDirection())


@pytest.fixture
async def index(database_dsn: str, model_path: Path) -> AsyncIterator[Index]:
    """Of documents of which three tenths were updated and not vacuumed."""
    async with TAGGED.index(database_dsn, model_path) as made:
        yield made


async def check(index: Index, tag: str) -> set[int]:
    """Hold counts and recall of a filter against the truth; gives the totals of ten hits."""
    found = await TAGGED.search(index, tag)
    assert found.faults == 0
    assert found.recall >= RECALL[tag]
    return found.totals


async def test_counts_and_recall_of_filters(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pass, as many are returned as there are, up to the limit, and of the best ten nearly all."""
    for tag in EVERY:
        assert await check(index, tag) == {len(TAGGED.passing(tag))}, "a small table is read whole"
    monkeypatch.setattr(nearest, "_EXACT_BELOW_BYTES", 0)
    assert await check(index, "all") == {MIN_CANDIDATES}, "many passages: the index"
    assert await check(index, "tenth") == {len(TAGGED.passing("tenth"))}, "few passages: all compared"
    monkeypatch.setattr(nearest, "_FEW", 0)
    for tag in ("half", "tenth"):
        assert await check(index, tag) == {MIN_CANDIDATES}, "the scan of the index goes on until it has enough"
    for tag in ("hundredth", "thousandth"):
        assert await check(index, tag) == {len(TAGGED.passing(tag))}, "the index cannot give enough: all compared"
    assert await check(index, "nobody") == {0}, "nor is there anything to compare"
    monkeypatch.setattr(nearest, "_MANY_PASS", nearest._MANY_PASS | {"hnsw.ef_search": 5, "hnsw.max_scan_tuples": 1})
    assert await check(index, "tenth") == {len(TAGGED.passing("tenth"))}, "a scan that was cut short counts for nothing"


async def test_no_other_passages_are_read_than_those_that_pass(index: Index) -> None:
    """However many pass, and though the tables were never analyzed: no plan depends on what is known of them."""
    explained = _Explained(index)
    for tag in EVERY:
        passing = len(TAGGED.passing(tag))
        await passing_documents(explained, index.generation, index.queries[0], 10, only=tagged(tag))
        await few_pass(explained, index.generation, tagged(tag), bound=TAGGED.documents)
        assert explained.passages == [passing, passing]
        explained.passages.clear()


class _Explained:
    """A connection that tells how many passages a statement reads, instead of giving any rows."""

    def __init__(self, index: Index) -> None:
        self.passages = list[int]()
        self._connection = index.connection
        self._table = index.generation.passages.rpartition(".")[2]

    async def fetch(self, sql: str, *arguments: object) -> list[object]:
        """Nothing."""
        plan = await self._connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *arguments)
        self.passages.append(self._read(msgspec.json.decode(plan)[0]["Plan"]))
        return []

    async def fetchval(self, sql: str, *arguments: object) -> int:
        """Nothing, as a number."""
        return len(await self.fetch(sql, *arguments))

    def _read(self, node: dict[str, Any]) -> int:
        """By a node of a plan and those below it."""
        rows = node["Actual Rows"] * node["Actual Loops"] if node.get("Relation Name") == self._table else 0
        return round(rows) + sum(map(self._read, node.get("Plans", ())))
