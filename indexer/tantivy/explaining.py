"""Tantivy's own explanation of a score, in its own words."""

from collections.abc import Iterator, Sequence

import msgspec
import tantivy

from indexer.deadline import Deadline
from indexer.explanation import Explanation, explanation_from
from indexer.tantivy.schema import ID
from streams.document import DocumentId


def explain(
    searcher: tantivy.Searcher,
    schema: tantivy.Schema,
    query: tantivy.Query,
    ids: Sequence[DocumentId],
    deadline: Deadline,
) -> Iterator[tuple[DocumentId, Explanation]]:
    """The scores of some documents; those that do not match are left out.

    Args:
        searcher: the snapshot to ask.
        schema: of the index.
        query: that gave the scores.
        ids: of the documents.
        deadline: of the request.
    """
    for name in ids:
        deadline.check()
        named = tantivy.Query.term_query(schema, ID, name)
        # Tantivy explains what does not match with an error, so only what does is asked for.
        both = tantivy.Query.boolean_query([(tantivy.Occur.Must, each) for each in (query, named)])
        for _, address in searcher.search(both, limit=1, count=False).hits:
            yield name, explanation_from(msgspec.json.decode(query.explain(searcher, address).to_json()))
