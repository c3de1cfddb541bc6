"""Counts what a search found by the values of some fields: exactly, as far as what was found is known.

What a search found is the union of what its methods match, and no index knows that. But one that is asked can count all
that match in it, and whatever the others returned, each document once. So counts are exact where the others returned
all that they match, and lower bounds otherwise, which the answer says.
"""

from collections.abc import Mapping, Sequence

from api.fusion import FusedHit
from api.messages.responses import FacetReport
from api.searching.hydration import fair_share
from api.searching.plan import SearchPlan
from indexer.backend import Answer, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import IndexFault
from indexer.facets import FacetCounts, FacetQuery, ValueCount

Facets = dict[str, tuple[ValueCount, ...]]


async def count_facets(
    plan: SearchPlan,
    answers: Mapping[str, Answer],
    found: Sequence[FusedHit],
    backends: Mapping[str, SearchBackend],
    deadline: Deadline,
) -> tuple[Facets, FacetReport | None]:
    """The facets that a search asks for, of which there are some, by the first index that can count.

    Args:
        plan: of the search.
        answers: by method, in the order in which to ask.
        found: the fused list.
        backends: by method.
        deadline: for all of it.

    Returns:
        The counts, and what they stand for.
    """
    reasons: list[str] = []
    for number, method in enumerate(answers):
        share = fair_share(deadline, len(answers) - number)
        try:
            counts = await backends[method].count(_asked(plan, found, share))
        except IndexFault as exc:
            reasons.append(f"{method}: {exc}")
            continue
        facets = {field: facet.values for field, facet in counts.fields.items()}
        return facets, _report(method, counts, answers)
    return {}, FacetReport("gte", error="; ".join(reasons))


def _asked(plan: SearchPlan, found: Sequence[FusedHit], deadline: Deadline) -> FacetQuery:
    return FacetQuery(
        plan.facets,
        plan.facet_limit,
        deadline,
        ids=[hit.id for hit in found],
        text=plan.query,
        everything=plan.query is None,
        only=plan.only,
    )


def _report(method: str, counts: FacetCounts, answers: Mapping[str, Answer]) -> FacetReport:
    returned_all = all(
        answer.total <= len(answer.hits) and answer.total_relation == "eq"
        for name, answer in answers.items()
        if name != method or not counts.whole
    )
    exact = returned_all and not counts.missing
    others = {field: facet.others for field, facet in counts.fields.items()}
    return FacetReport("eq" if exact else "gte", counts.documents, method, others)
