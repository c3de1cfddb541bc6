"""Counts the documents of a Tantivy query by their values: an aggregation over a column, which is exact.

Tantivy keeps the commonest of each segment only, unless it is to keep all; and it does not say how many there are. So
all values of a field are asked for, up to a bound that no memory feels.
"""

import re
from collections.abc import Sequence
from typing import Final

import tantivy

from indexer.facets import Facet, FacetQuery, facet_of, prefix_of
from indexer.tantivy.schema import ID, VALUES

MOST_VALUES: Final = 65_000
"""Distinct values of a field; Tantivy refuses to make more than 65,536 buckets. The rarest beyond are left out."""

_SPECIAL: Final = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~/]")


def count_values(searcher: tantivy.Searcher, query: tantivy.Query, asked: FacetQuery) -> tuple[dict[str, Facet], bool]:
    """The facets of the documents that a query matches, and whether no value was left out.

    Args:
        searcher: the snapshot to ask.
        query: which documents to count.
        asked: which facets.
    """
    facets: dict[str, Facet] = {}
    whole = True
    for field in asked.fields:
        asked.deadline.check()
        answer = searcher.aggregate(query, {VALUES: {"terms": _terms(field)}})[VALUES]
        counts = {bucket["key"].encode(): int(bucket["doc_count"]) for bucket in answer["buckets"]}
        facets[field] = facet_of(counts, field, asked.limit)
        whole = whole and not answer["sum_other_doc_count"]
    return facets, whole


def with_ids(
    schema: tantivy.Schema, searcher: tantivy.Searcher, query: tantivy.Query, ids: Sequence[str]
) -> tuple[tantivy.Query, int]:
    """What matches a query or has an id, and how many of the ids there are."""
    if not ids:
        return query, 0
    named = tantivy.Query.term_set_query(schema, ID, list(ids))
    either = tantivy.Query.boolean_query([(tantivy.Occur.Should, each) for each in (query, named)])
    return either, count_matches(searcher, named)


def count_matches(searcher: tantivy.Searcher, query: tantivy.Query) -> int:
    """How many documents match a query."""
    return int(searcher.search(query, limit=1).count)  # type: ignore[attr-defined]  # the stub leaves this property out


def _terms(field: str) -> dict[str, object]:
    beginning = _SPECIAL.sub(r"\\\g<0>", prefix_of(field).decode())
    return {"field": VALUES, "size": MOST_VALUES, "segment_size": MOST_VALUES, "include": f"(?s){beginning}.*"}
