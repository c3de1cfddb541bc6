"""One search from plan to answer: ask, fuse, cut the page, fetch it, show what matched."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from api.access.admission import NEWEST_QUEUE_SHARE, QUEUE_SHARE, Admission
from api.errors import SearchUnavailable
from api.fusion import FusedOrder, FusionRule, depth_for, fuse
from api.messages.responses import FacetReport, SearchResponse
from api.searching.explaining import explain_page
from api.searching.faceting import count_facets
from api.searching.fanout import Fanout, OnOutcome, Outcome, nobody
from api.searching.highlighting import QueryHighlighter
from api.searching.hydration import GoOn, Page, hydrate
from api.searching.plan import SearchPlan
from api.searching.presentation import present_results, relation, report
from api.searching.waiting import WatermarkWatch
from indexer.backend import Answer, Query, SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.errors import InvalidQuery, OutOfMemory

FETCH_SHARE: Final = 0.2
"""The part of a search's time that is kept for fetching the page, so that a method which hangs cannot use it up,"""

FETCH_SECONDS: Final = 0.25
"""and at most this much of it."""

Highlighters = Callable[[str], QueryHighlighter]
"""Makes the highlighter of a query."""


class Searcher:
    """Answers searches over any of the methods.

    Args:
        backends: by method, in the order in which answers list them; each raises nothing but `IndexFault`.
        highlighters: for the snippets.
        admission: of this worker.
        go_on: asked before a search takes the memory of more documents.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        backends: Mapping[str, SearchBackend],
        highlighters: Highlighters,
        admission: Admission,
        go_on: GoOn,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._backends = backends
        self._watches = {method: WatermarkWatch(backend, clock=clock) for method, backend in backends.items()}
        self._admission = admission
        self._go_on = go_on
        self._highlighters = highlighters
        self._clock = clock

    async def search(
        self, plan: SearchPlan, client: str, trace_id: str, *, on_outcome: OnOutcome = nobody
    ) -> SearchResponse:
        """Answer a search with whatever the methods that work have found.

        Args:
            plan: what to search.
            client: whose request it is.
            trace_id: of the request.
            on_outcome: told of each method as it answers or fails.

        Raises:
            InvalidQuery: every method that was asked refuses the query.
            SearchUnavailable: no method could answer.
            Overloaded: too many searches run.
            OutOfMemory: there is too little of it left for the page.
        """
        began = self._clock()
        deadline = Deadline(began + plan.timeout_ms / 1000, self._clock, hurried=plan.hurried)
        admission = self._admission.searches if plan.token is None else self._admission.waiters
        share = NEWEST_QUEUE_SHARE if plan.query is None else QUEUE_SHARE
        async with admission.turn(client, share * deadline.remaining()):
            # While others wait for their turn, none of several methods is worth that this one waits in a queue again.
            patience = 1 - self._admission.searches.pressure if len(plan.methods) > 1 else 1.0
            asked = msgspec.structs.replace(_with_time_to_fetch(deadline), patience=patience)
            outcomes = await self._ask(plan, asked, on_outcome)
            return await self._answer(plan, trace_id, began, deadline, outcomes)

    async def _answer(
        self, plan: SearchPlan, trace_id: str, began: float, deadline: Deadline, outcomes: Mapping[str, Outcome]
    ) -> SearchResponse:
        answers = _answers(outcomes)
        order = _order(answers, plan)
        shown = order[plan.offset : plan.offset + plan.limit]
        backends = {method: self._backends[method] for method in answers}
        async with asyncio.TaskGroup() as group:  # most searches ask for neither, and need no tasks
            counting = (
                group.create_task(count_facets(plan, answers, order, backends, deadline)) if plan.facets else None
            )
            explaining = group.create_task(explain_page(plan, shown, backends, deadline)) if plan.explain else None
            page = await hydrate(shown, answers, backends, deadline, self._go_on)
        facets, facet_report = counting.result() if counting else ({}, None)
        if page.shortages:
            raise OutOfMemory(page.shortages[0])
        highlighter = None if plan.query is None else self._highlighters(plan.query)
        newest = next(iter(answers.values())) if plan.query is None else None
        return SearchResponse(
            results=present_results(
                shown,
                page,
                explaining.result() if explaining else {},
                highlighter=highlighter,
                highlight=plan.highlight,
            ),
            total=len(order) if newest is None else newest.total,
            total_relation=relation(answers) if newest is None else newest.total_relation,
            duration_ms=round((self._clock() - began) * 1000, 3),
            partial=_is_partial(plan, outcomes, page, facet_report),
            backends={method: report(outcome) for method, outcome in outcomes.items()},
            facets=facets,
            facet_report=facet_report,
            trace_id=trace_id,
        )

    async def _ask(self, plan: SearchPlan, deadline: Deadline, on_outcome: OnOutcome) -> dict[str, Outcome]:
        chosen = {method: self._backends[method] for method in plan.methods}
        fanout = Fanout(self._watches, plan.token, clock=self._clock, on_outcome=on_outcome)
        end = plan.offset + plan.limit
        if plan.query is None:
            return await fanout.first_newest(chosen, end, deadline, plan.only)
        # What is shown of a page is found in its documents, whichever method found them: ten, and not hundreds.
        query = Query(plan.query, depth_for(end), deadline, plan.only, located=0)
        return await fanout.ask_all(chosen, query)


def _is_partial(
    plan: SearchPlan, outcomes: Mapping[str, Outcome], page: Page, facet_report: FacetReport | None
) -> bool:
    """Whether something that was asked for is missing; of the newest documents, one index knows all."""
    failed = plan.query is not None and any(outcome.answer is None for outcome in outcomes.values())
    uncounted = facet_report is not None and facet_report.error is not None
    return failed or uncounted or bool(page.failures)


def _with_time_to_fetch(deadline: Deadline) -> Deadline:
    reserved = min(FETCH_SHARE * deadline.remaining(), FETCH_SECONDS)
    return deadline.within(deadline.remaining() - reserved)


def _answers(outcomes: Mapping[str, Outcome]) -> dict[str, Answer]:
    answers = {method: outcome.answer for method, outcome in outcomes.items() if outcome.answer is not None}
    if answers:
        return answers
    reasons = {method: outcome.error or outcome.status for method, outcome in outcomes.items()}
    if all(outcome.refused for outcome in outcomes.values()):
        raise InvalidQuery("; ".join(f"{method}: {reason}" for method, reason in reasons.items()))
    raise SearchUnavailable(reasons)


def _order(answers: Mapping[str, Answer], plan: SearchPlan) -> FusedOrder:
    """All hits in the order of the pages; the newest documents stay in the one order they came in."""
    rankings = {method: answer.hits for method, answer in answers.items()}
    if plan.query is not None:
        return fuse(rankings, plan.rule)
    return fuse(rankings, FusionRule(weights=dict.fromkeys(rankings, 1.0)))
