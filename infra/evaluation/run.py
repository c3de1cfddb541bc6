"""Measures a running system over HTTP, exactly as its clients see it."""

import asyncio
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, Final

import httpx
import msgspec

from infra.evaluation.collection import Judged
from infra.evaluation.measures import ndcg, recall
from infra.local.key import key_header
from streams.errors import EmbedSearchError

NDCG_DEPTH: Final = 10
RECALL_DEPTH: Final = 100
FUSED: Final = "fused"
_CONCURRENCY: Final = 2
_TIMEOUT_MS: Final = 30_000


class EvaluationFailed(EmbedSearchError):
    """A search of the evaluation failed, so its figures would be wrong."""


class Figures(msgspec.Struct, frozen=True):
    """Means over all queries.

    Attributes:
        ndcg_at_10: of the first ten hits.
        recall_at_100: of the first hundred hits.
    """

    ndcg_at_10: float
    recall_at_100: float


async def measure(
    url: str, judged: Sequence[Judged], methods: Sequence[str], *, on_search: Callable[[], None]
) -> dict[str, Figures]:
    """Run every query by each method alone and by all of them fused.

    Args:
        url: of the API.
        judged: queries with their judgments.
        methods: to measure.
        on_search: told of each search.

    Raises:
        EvaluationFailed: a search was refused or partial.
    """
    runs = {method: [method] for method in methods}
    if len(methods) > 1:
        runs[FUSED] = list(methods)
    limits = asyncio.Semaphore(_CONCURRENCY)
    async with httpx.AsyncClient(
        base_url=url, timeout=_TIMEOUT_MS / 1000, trust_env=False, headers=key_header()
    ) as http:

        async def search(query: Judged, asked: list[str]) -> list[str]:
            async with limits:
                ranking = await _search(http, query.text, asked)
                on_search()
                return ranking

        return {
            name: _figures(judged, await asyncio.gather(*(search(query, asked) for query in judged)))
            for name, asked in runs.items()
        }


def _figures(judged: Sequence[Judged], rankings: Sequence[Sequence[str]]) -> Figures:
    pairs = list(zip(judged, rankings, strict=True))
    return Figures(
        ndcg_at_10=fmean(ndcg(ranking, query.grades, depth=NDCG_DEPTH) for query, ranking in pairs),
        recall_at_100=fmean(recall(ranking, query.grades, depth=RECALL_DEPTH) for query, ranking in pairs),
    )


async def _search(http: httpx.AsyncClient, text: str, methods: list[str]) -> list[str]:
    request: dict[str, Any] = {
        "query": text,
        "methods": methods,
        "limit": RECALL_DEPTH,
        "highlight": False,
        "timeout_ms": _TIMEOUT_MS,
    }
    response = await http.post("/search", json=request)
    if response.status_code != httpx.codes.OK:
        raise EvaluationFailed(f"search for {text!r} failed: HTTP {response.status_code} {response.text[:500]}")
    answer = response.json()
    if answer["partial"]:
        raise EvaluationFailed(f"search for {text!r} was partial: {answer['backends']}")
    return [hit["id"] for hit in answer["results"]]
