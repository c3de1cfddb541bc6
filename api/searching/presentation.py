"""From hits, answers and documents to what a client reads."""

from collections.abc import Mapping, Sequence

import msgspec

from api.fusion import FusedHit
from api.messages.responses import BackendReport, HitExplanation, SearchResult
from api.searching.fanout import Outcome
from api.searching.highlighting import QueryHighlighter
from api.searching.hydration import Page
from api.searching.snippet import Match, make_snippet
from indexer.backend import Answer, TotalRelation
from streams.document import Document, DocumentId

_EMPTY = Document(DocumentId(""), "")


def present_results(
    hits: Sequence[FusedHit],
    page: Page,
    explanations: Mapping[DocumentId, HitExplanation],
    *,
    highlighter: QueryHighlighter | None,
    highlight: bool,
) -> list[SearchResult]:
    """The page's results; what was deleted since the search is left out.

    Args:
        hits: of the page.
        page: their documents.
        explanations: by id, where there are any.
        highlighter: of the query; None where there is none.
        highlight: mark what matched.
    """
    results = [
        _result(hit, page.documents.get(hit.id, _EMPTY), page.failures.get(hit.id), highlighter, highlight=highlight)
        for hit in hits
        if hit.id in page.documents or hit.id in page.failures
    ]
    if not explanations:
        return results
    return [msgspec.structs.replace(result, explanation=explanations.get(DocumentId(result.id))) for result in results]


def report(outcome: Outcome) -> BackendReport:
    """How one method answered."""
    answer = outcome.answer
    if answer is None:
        return BackendReport(outcome.status, outcome.took_ms, error=outcome.error, detail=outcome.detail)
    return BackendReport(
        outcome.status,
        outcome.took_ms,
        hits=len(answer.hits),
        total=answer.total,
        watermark=answer.watermark.public(),
        detail=outcome.detail,
    )


def relation(answers: Mapping[str, Answer]) -> TotalRelation:
    """Whether the fused list holds everything that matched."""
    more = (answer.total > len(answer.hits) or answer.total_relation == "gte" for answer in answers.values())
    return "gte" if any(more) else "eq"


def _result(
    hit: FusedHit, document: Document, failure: str | None, highlighter: QueryHighlighter | None, *, highlight: bool
) -> SearchResult:
    matches: list[Match] = [] if highlighter is None else highlighter.matches(document.body, hit.methods)
    focus = 0 if hit.passage is None else hit.passage[0]
    return SearchResult(
        id=hit.id,
        title=document.title,
        url=document.url,
        source=document.source,
        tags=document.tags,
        score=hit.score,
        snippet=make_snippet(document.body, matches, focus=focus, highlight=highlight),
        methods=hit.methods,
        error=failure,
    )
