"""One line in the log for each search: what was asked, what came of it, and how long each part took."""

from hashlib import blake2b
from typing import Final

import structlog

from api.messages.responses import SearchResponse
from api.searching.plan import SearchPlan

_MASK_BYTES: Final = 8

_log = structlog.stdlib.get_logger(__name__)


class SearchLog:
    """Writes the lines of one worker.

    Args:
        shows_queries: whether queries are written as they came; else as a hash and a length, which tells equal ones.
    """

    def __init__(self, *, shows_queries: bool) -> None:
        self._shows_queries = shows_queries

    def answered(self, plan: SearchPlan, response: SearchResponse) -> None:
        """A search was answered, perhaps in part."""
        _log.info(
            "search",
            query=self._shown(plan.query),
            limit=plan.limit,
            offset=plan.offset,
            filters=len(plan.only.labels) + (plan.only.published is not None),
            result_count=len(response.results),
            total=response.total,
            partial=response.partial,
            duration_ms=response.duration_ms,
            backends={method: [each.status, each.took_ms] for method, each in response.backends.items()},
        )

    def failed(self, plan: SearchPlan, error: Exception, seconds: float) -> None:
        """A search was not answered."""
        _log.info(
            "search failed",
            query=self._shown(plan.query),
            methods=plan.methods,
            error=type(error).__name__,
            reason=str(error),
            duration_ms=round(1000 * seconds, 3),
        )

    def abandoned(self, plan: SearchPlan, seconds: float) -> None:
        """Nobody waits for the answer to a search any more."""
        _log.info(
            "search abandoned",
            query=self._shown(plan.query),
            methods=plan.methods,
            duration_ms=round(1000 * seconds, 3),
        )

    def _shown(self, query: str | None) -> str | None:
        if query is None or self._shows_queries:
            return query
        digest = blake2b(query.encode(), digest_size=_MASK_BYTES).hexdigest()
        return f"{digest} ({len(query)} characters)"
