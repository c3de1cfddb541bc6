"""Says of the hits of one page how their scores come about: each method of its own, and what fusion makes of them."""

import asyncio
from collections.abc import Mapping, Sequence

from api.fusion import Contribution, FusedHit, FusionRule
from api.messages.responses import HitExplanation
from api.searching.hydration import fair_share
from api.searching.plan import SearchPlan
from indexer.backend import Query, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import IndexFault
from indexer.explanation import Explanation
from streams.document import DocumentId

Explained = Mapping[DocumentId, Explanation]


async def explain_page(
    plan: SearchPlan, hits: Sequence[FusedHit], backends: Mapping[str, SearchBackend], deadline: Deadline
) -> dict[DocumentId, HitExplanation]:
    """The explanations of a page, by id.

    Args:
        plan: of the search.
        hits: of the page.
        backends: those that answered, by method.
        deadline: for all of it.
    """
    if plan.query is None:
        return {hit.id: HitExplanation(_newest(hit)) for hit in hits}
    query = Query(plan.query, max(1, len(hits)), fair_share(deadline, 1), plan.only)
    async with asyncio.TaskGroup() as group:
        tasks = {
            method: group.create_task(_ask(backend, query, [hit.id for hit in hits if method in hit.methods]))
            for method, backend in backends.items()
        }
    told = {method: task.result() for method, task in tasks.items()}
    return {hit.id: _explanation(hit, told, plan.rule) for hit in hits}


async def _ask(backend: SearchBackend, query: Query, ids: Sequence[DocumentId]) -> Explained | str:
    """What a method says, or why it says nothing."""
    if not ids:
        return {}
    try:
        return await backend.explain(query, ids)
    except IndexFault as exc:
        return str(exc)


def _explanation(hit: FusedHit, told: Mapping[str, Explained | str], rule: FusionRule) -> HitExplanation:
    methods: dict[str, Explanation] = {}
    errors: dict[str, str] = {}
    for method in hit.methods:
        said = told.get(method, {})
        if isinstance(said, str):
            errors[method] = said
        elif hit.id in said:
            methods[method] = said[hit.id]
        else:
            errors[method] = "the document has changed since the search"
    return HitExplanation(_fusion(hit, rule), methods, errors)


def _fusion(hit: FusedHit, rule: FusionRule) -> Explanation:
    parts = tuple(_contribution(method, place, rule) for method, place in hit.methods.items())
    return Explanation("fused score: sum of what the methods contribute", hit.score, parts)


def _contribution(method: str, place: Contribution, rule: FusionRule) -> Explanation:
    weight = rule.weight(method)
    if rule.kind == "rrf":
        formula = f"{method}: weight / (k + rank)"
        details = [("weight", weight), ("k", rule.k), ("rank", place.rank)]
    else:
        formula = f"{method}: weight * score, scaled to 0..1 within the method's hits"
        details = [("weight", weight), ("score", place.score), ("rank", place.rank)]
    return Explanation(formula, place.contribution, tuple(Explanation(name, float(value)) for name, value in details))


def _newest(hit: FusedHit) -> Explanation:
    timestamp = max(place.score for place in hit.methods.values())
    return Explanation("listed by the timestamp of its record, in milliseconds", timestamp)
