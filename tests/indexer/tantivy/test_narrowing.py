from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from indexer.backend import Hit, Query
from indexer.deadline import Deadline
from indexer.filtering import EVERYTHING, Filter, Period, label, microseconds
from indexer.generation import Generation
from indexer.tantivy import TantivySearcher, TantivyWriter
from indexer.tantivy.marker import MARKER_ID
from streams.change import Change, Position, Upsert
from streams.document import Document, DocumentId
from tests.indexer.tantivy.documents import SOON, watermark_after

DOCUMENTS = 120
DATED = 24
"""Those before have no date."""

BEGINNING = datetime(1969, 12, 31, 23, 59, tzinfo=UTC)
"""So early that some are published before the epoch."""

QUERIES = (
    "circuit",
    "circuit breaker water",
    '"circuit breaker"',
    "title:circuit breaker",
    "+breaker -water",
    "circ* watre~1",
    "NOT water",
    "*",
)


def _is_dated(number: int) -> bool:
    return number >= DATED and number % 5 > 0


def _document(number: int) -> Upsert:
    document = Document(
        id=DocumentId(f"d{number:03d}"),
        title="circuit" if number % 4 == 0 else "",
        body="circuit breaker " * (1 + number % 5) + "water " * (number % 3) + "ballast " * (number % 11),
        source="wiki" if number % 2 else "mail",
        tags=("third",) if number % 3 == 0 else (),
        published_at=BEGINNING + timedelta(seconds=number) if _is_dated(number) else None,
    )
    return Upsert(document, Position(0, number, 1_700_000_000_000 + number))


CHANGES: list[Change] = [_document(number) for number in range(DOCUMENTS)]
FIRST_AND_LAST = Period(-(2**63), 2**63 - 1)
A_MINUTE = Period(microseconds(BEGINNING + timedelta(seconds=30)), microseconds(BEGINNING + timedelta(seconds=89)))
WIKI = frozenset({label("source", "wiki")})
THIRD = frozenset({label("tags", "third"), label("tags", "of nobody")})

FILTERS: Mapping[str, tuple[Filter, Callable[[int], bool]]] = {
    "label": (Filter((WIKI,)), lambda number: number % 2 == 1),
    "one of labels": (Filter((THIRD,)), lambda number: number % 3 == 0),
    "two groups": (Filter((WIKI, THIRD)), lambda number: number % 6 == 3),
    "any date": (Filter(published=FIRST_AND_LAST), _is_dated),
    "period": (Filter(published=A_MINUTE), lambda number: _is_dated(number) and 30 <= number < 90),
    "all": (
        Filter((WIKI, THIRD), A_MINUTE),
        lambda number: number % 6 == 3 and _is_dated(number) and 30 <= number < 90,
    ),
}


@pytest.fixture
def searcher(generation: Generation) -> TantivySearcher:
    """A searcher over the documents, in three segments, of which the first holds no date."""
    writer = TantivyWriter(generation)
    for part in (CHANGES[:DATED], CHANGES[DATED:70], CHANGES[70:]):
        writer.apply(part)
        writer.commit(watermark_after(part))
    writer.close()
    return TantivySearcher(generation)


def _hits(searcher: TantivySearcher, text: str, only: Filter) -> list[Hit]:
    answer = searcher.search(Query(text, 1_000, Deadline.after(SOON), only))
    assert answer.total == len(answer.hits)
    return list(answer.hits)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("text", QUERIES)
def test_what_passes_scores_to_the_bit_as_without_a_filter(searcher: TantivySearcher, text: str, name: str) -> None:
    """Every form of the language finds what it finds without a filter, less what does not pass; the scores stay."""
    only, passes = FILTERS[name]
    everything = _hits(searcher, text, EVERYTHING)
    expected = [hit for hit in everything if passes(int(hit.id[1:]))]
    assert expected
    assert _hits(searcher, text, only) == expected


@pytest.mark.parametrize("name", FILTERS)
def test_newest_of_what_passes(searcher: TantivySearcher, name: str) -> None:
    """The newest that pass come first, and all that pass are counted."""
    only, passes = FILTERS[name]
    expected = [number for number in reversed(range(DOCUMENTS)) if passes(number)]
    answer = searcher.newest(3, Deadline.after(SOON), only)
    assert [(hit.id, hit.score) for hit in answer.hits] == [
        (f"d{number:03d}", 1_700_000_000_000 + number) for number in expected[:3]
    ]
    assert answer.total == len(expected)


@pytest.mark.parametrize("text", ["*", "NOT zzz", f"id:{MARKER_ID}", "id:*", "-a -b", "!!!"])
def test_the_marker_passes_no_filter(searcher: TantivySearcher, text: str) -> None:
    """The document that carries the watermark has no labels and no date, and is in no answer."""
    for only, _ in FILTERS.values():
        assert MARKER_ID not in [hit.id for hit in _hits(searcher, text, only)]


def test_a_label_is_no_word_of_a_query(searcher: TantivySearcher) -> None:
    """The fields of labels and dates are the filter's alone."""
    for text in (f"labels:{label('source', 'wiki')}", "published:0", str(label("source", "wiki"))):
        assert _hits(searcher, text, EVERYTHING) == []
