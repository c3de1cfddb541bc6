"""Hits say where they match: line, and characters of the body."""

from pathlib import Path

import pytest

from indexer.backend import MatchSpan, Query
from indexer.deadline import Deadline
from indexer.generation import open_or_create_live
from indexer.native import NativeSearcher, NativeWriter, generation_settings
from tests.indexer.contract.changes import upsert, watermark_after


def _matches(directory: Path, query: str, body: str, title: str) -> tuple[MatchSpan, ...]:
    generation = open_or_create_live(directory, generation_settings())
    change = upsert("d", body, title=title, offset=0)
    writer = NativeWriter(generation)
    writer.apply([change])
    writer.commit(watermark_after(change))
    writer.close()
    searcher = NativeSearcher(generation)
    [hit] = searcher.search(Query(query, 10, Deadline.after(60.0))).hits
    searcher.close()
    return hit.matches


@pytest.mark.parametrize("title", ["", "Tïtle with a needle"])
@pytest.mark.parametrize(
    ("query", "body", "matches"),
    [
        ("needle", "é needle\n漢\nüneedle", [MatchSpan(1, 2, 8), MatchSpan(3, 12, 18)]),
        ("/n[a-z]+/", "é needle\n漢\nneedle", [MatchSpan(1, 2, 8), MatchSpan(3, 11, 17)]),
        ("漢\nü", "漢\nü", [MatchSpan(1, 0, 3)]),
    ],
)
def test_matches_in_the_body(tmp_path: Path, title: str, query: str, body: str, matches: list[MatchSpan]) -> None:
    """Lines and characters are those of the body, whatever the title; matches in the title are not named."""
    assert list(_matches(tmp_path, query, body, title)) == matches
    assert all(body[each.start : each.end] for each in matches)


def test_only_what_is_asked_for_is_located(tmp_path: Path) -> None:
    """The best hits, in their order; to locate all takes longer than to find them."""
    generation = open_or_create_live(tmp_path, generation_settings())
    changes = [upsert(f"d{number}", "needle " * (9 - number), offset=number) for number in range(9)]
    writer = NativeWriter(generation)
    writer.apply(changes)
    writer.commit(watermark_after(*changes))
    writer.close()
    searcher = NativeSearcher(generation)
    for located in (0, 1, 4, 9, 100):
        hits = searcher.search(Query("needle", 9, Deadline.after(60.0), located=located)).hits
        assert [bool(hit.matches) for hit in hits] == [place < located for place in range(9)]
    searcher.close()


def test_matches_are_limited(tmp_path: Path) -> None:
    """No more than the first 16 are named."""
    assert _matches(tmp_path, "a", "a" * 1_000, "") == tuple(MatchSpan(1, at, at + 1) for at in range(16))
