"""One search from plan to answer: ask, fuse, cut the page, fetch it, show what matched."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from api.access.admission import QUEUE_SHARE, Admission
from api.errors import SearchUnavailable
from api.fusion import FusedHit, FusionRule, depth_for, fuse
from api.messages.responses import SearchResponse
from api.searching.fanout import Fanout, Outcome
from api.searching.highlighting import QueryHighlighter
from api.searching.hydration import hydrate
from api.searching.plan import SearchPlan
from api.searching.presentation import present_results, relation, report
from indexer.backend import Answer, Query, SearchBackend
from indexer.deadline import Clock, Deadline
from indexer.errors import InvalidQuery

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
        clock: a monotonic clock.
    """

    def __init__(
        self,
        backends: Mapping[str, SearchBackend],
        highlighters: Highlighters,
        admission: Admission,
        *,
        clock: Clock = time.monotonic,
    ) -> None:
        self._backends = backends
        self._admission = admission
        self._highlighters = highlighters
        self._clock = clock

    async def search(self, plan: SearchPlan, trace_id: str) -> SearchResponse:
        """Answer a search with whatever the methods that work have found.

        Raises:
            InvalidQuery: every method that was asked refuses the query.
            SearchUnavailable: no method could answer.
            Overloaded: too many searches run.
        """
        began = self._clock()
        deadline = Deadline(began + plan.timeout_ms / 1000, self._clock, hurried=plan.hurried)
        admission = self._admission.searches if plan.token is None else self._admission.waiters
        async with admission.turn(QUEUE_SHARE * deadline.remaining()):
            return await self._answer(plan, trace_id, began, deadline)

    async def _answer(self, plan: SearchPlan, trace_id: str, began: float, deadline: Deadline) -> SearchResponse:
        outcomes = await self._ask(plan, _with_time_to_fetch(deadline))
        answers = _answers(outcomes)
        order = _order(answers, plan)
        shown = order[plan.offset : plan.offset + plan.limit]
        page = await hydrate(shown, {method: self._backends[method] for method in answers}, deadline)
        highlighter = None if plan.query is None else self._highlighters(plan.query)
        newest = next(iter(answers.values())) if plan.query is None else None
        return SearchResponse(
            results=present_results(shown, page, answers, highlighter=highlighter, highlight=plan.highlight),
            total=len(order) if newest is None else newest.total,
            total_relation=relation(answers) if newest is None else newest.total_relation,
            duration_ms=round((self._clock() - began) * 1000, 3),
            partial=bool(page.failures) or (newest is None and len(answers) < len(outcomes)),
            backends={method: report(outcome) for method, outcome in outcomes.items()},
            facets={},
            trace_id=trace_id,
        )

    async def _ask(self, plan: SearchPlan, deadline: Deadline) -> dict[str, Outcome]:
        chosen = {method: self._backends[method] for method in plan.methods}
        fanout = Fanout(plan.token, clock=self._clock)
        end = plan.offset + plan.limit
        if plan.query is None:
            return await fanout.first_newest(chosen, end, deadline, plan.only)
        return await fanout.ask_all(chosen, Query(plan.query, depth_for(end), deadline, plan.only))


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


def _order(answers: Mapping[str, Answer], plan: SearchPlan) -> list[FusedHit]:
    """All hits in the order of the pages; the newest documents stay in the one order they came in."""
    rankings = {method: answer.hits for method, answer in answers.items()}
    if plan.query is not None:
        return fuse(rankings, plan.rule)
    return fuse(rankings, FusionRule(weights=dict.fromkeys(rankings, 1.0)))
