"""What a soak asks, and what it changes."""

import pytest

from infra.bench.errors import BenchFailed
from infra.bench.soak.changes import change
from infra.bench.soak.queries import Queries

TEXTS = [
    "Return the smallest items of a list, in order",
    "Split the path into directory and file name\nor raise an error",
    "An event loop runs tasks until all of them have finished",
]


def test_queries_of_a_day_are_distinct_as_far_as_the_words_go() -> None:
    """Every other one is three words, none of which comes twice before all triples have come."""
    queries = Queries(TEXTS)
    triples = [queries[number] for number in range(1, 20_001, 2)]
    assert len(set(triples)) == len(triples)
    assert {len(query.split()) for query in triples} == {3}


def test_every_other_query_stands_in_a_document_as_it_is() -> None:
    """So that the method for literals finds something too."""
    queries = Queries(TEXTS)
    assert all(any(queries[number] in text for text in TEXTS) for number in range(0, 200, 2))


def test_cached_queries_are_few() -> None:
    """After a second every worker has seen each of them."""
    queries = Queries(TEXTS)
    assert len({queries.cached(number) for number in range(1_000)}) <= 50


def test_a_corpus_without_words_is_refused() -> None:
    """Rather than asking for nothing a million times."""
    with pytest.raises(BenchFailed, match="too few words"):
        Queries(["1 2 3", ""])


def test_changes_add_replace_and_delete_and_leave_as_much_as_there_was() -> None:
    """A day of changes is no larger than a minute of them, and nothing is replaced or deleted that is not there."""
    there: set[int] = set()
    sizes = []
    kinds = {"new": 0, "other text": 0, "end": 0}
    versions: dict[int, int] = {}
    for number in range(3_000):
        made = change(number)
        if made.version is None:
            assert made.document in there
            there.remove(made.document)
            kinds["end"] += 1
        else:
            kinds["other text" if made.document in there else "new"] += 1
            assert versions.get(made.document) != made.version
            versions[made.document] = made.version
            there.add(made.document)
        sizes.append(len(there))
    assert kinds["new"] == 1_000
    assert kinds["end"] > 900
    assert kinds["other text"] >= 1_000
    assert max(sizes[500:]) - min(sizes[500:]) <= 1
