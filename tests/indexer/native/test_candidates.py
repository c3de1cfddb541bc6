"""Which documents are read: those that neither the pattern nor the filter excludes."""

from pathlib import Path

import msgspec
import pytest

from indexer.filtering import EVERYTHING, Filter, label
from indexer.generation import open_or_create_live
from indexer.native import NativeWriter, generation_settings
from indexer.native.candidates import candidates
from indexer.native.contents import NativeContents, NativeEngine
from indexer.native.plan import AllTrigrams, Everything, Plan, trigrams_of
from indexer.segment import Segment, SnapshotReader
from streams.change import Upsert
from tests.indexer.contract.changes import delete, upsert, watermark_after

EVERY_THIRD = Filter((frozenset({label("tags", "third")}),))
ONE = Filter((frozenset({label("tags", "one")}),))
NEEDLE = AllTrigrams(trigrams_of(b"needle"))


def _tagged(number: int) -> Upsert:
    """Every second one has a needle, every third one a tag, and number 42 another."""
    change = upsert(f"d{number}", "needle" if number % 2 else "straw", offset=number)
    tags = ("third",) * (number % 3 == 0) + ("one",) * (number == 42)
    return Upsert(msgspec.structs.replace(change.document, tags=tags), change.position)


@pytest.fixture
def segment(tmp_path: Path) -> Segment[NativeContents]:
    """A segment of 100 documents, of which number 9 is deleted."""
    generation = open_or_create_live(tmp_path, generation_settings())
    writer = NativeWriter(generation)
    for changes in ([_tagged(number) for number in range(100)], [delete("d9", offset=100)]):
        writer.apply(changes)
        writer.commit(watermark_after(*changes))
    writer.close()
    return SnapshotReader(generation.directory, NativeEngine()).current().segments[0]


@pytest.mark.parametrize(
    ("plan", "only", "expected"),
    [
        (Everything(), EVERYTHING, set(range(100))),
        (Everything(), EVERY_THIRD, set(range(0, 100, 3))),
        (Everything(), ONE, {42}),
        (NEEDLE, EVERYTHING, set(range(1, 100, 2))),
        (NEEDLE, EVERY_THIRD, set(range(3, 100, 6))),
        (NEEDLE, ONE, {42}),
        (NEEDLE, Filter((frozenset({label("tags", "nowhere")}),)), set()),
    ],
)
def test_a_filter_narrows(segment: Segment[NativeContents], plan: Plan, only: Filter, expected: set[int]) -> None:
    """Only live documents that pass are read; so few that the pattern need not be asked, are all read."""
    assert candidates(segment, plan, only).tolist() == sorted(expected - {9})
