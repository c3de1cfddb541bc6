"""Narrows a Tantivy query to the documents that a filter lets through.

A condition must match, and its score is 0, so that those that are left score as they do without a filter.
"""

from typing import Final

import tantivy

from indexer.filtering import Filter, Label, Period
from indexer.tantivy.schema import LABELS, PUBLISHED

_UNSCORED: Final = 0.0


def narrowed(schema: tantivy.Schema, query: tantivy.Query, only: Filter) -> tantivy.Query:
    """What a query matches among the documents that may be found.

    Args:
        schema: of the index.
        query: what is looked for; matches no marker document.
        only: the documents that may be found.
    """
    if not only:
        return query
    conditions = [_any_label(schema, group) for group in only.labels]
    if only.published is not None:
        conditions.append(_published(schema, only.published))
    unscored = [tantivy.Query.const_score_query(condition, _UNSCORED) for condition in conditions]
    return tantivy.Query.boolean_query([(tantivy.Occur.Must, each) for each in (query, *unscored)])


def _any_label(schema: tantivy.Schema, group: frozenset[Label]) -> tantivy.Query:
    if len(group) == 1:
        # A list of postings skips to what the query matches; a set of terms is read whole, but only once for them all.
        return tantivy.Query.term_query(schema, LABELS, next(iter(group)))
    return tantivy.Query.term_set_query(schema, LABELS, sorted(group))


def _published(schema: tantivy.Schema, period: Period) -> tantivy.Query:
    return tantivy.Query.range_query(schema, PUBLISHED, tantivy.FieldType.Integer, period.first, period.last)
