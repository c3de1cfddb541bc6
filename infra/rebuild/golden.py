"""Golden queries: what a new generation is asked beside the live one, before anyone else may ask it.

    {"query": "circuit breaker"}
    {"query": "wing flutter", "relevant": {"doc-17": 3, "doc-4": 1}}

One JSON object a line. Without judgments the answers of both generations are compared; with them, their nDCG is too.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from indexer.backend import Query, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import InvalidQuery
from indexer.rebuild.options import MAX_QUERY_CHARACTERS, GoldenQuery
from indexer.reports.rebuilding import GoldenResult
from infra.evaluation.measures import ndcg
from streams.errors import EmbedSearchError

DEPTH: Final = 10
MAX_QUERIES: Final = 10_000
_SECONDS: Final = 30.0


class GoldenQueries(msgspec.Struct, frozen=True):
    """What both generations are asked.

    Attributes:
        queries: none where there is nothing to ask.
        sampled: whether they are recent searches, and no queries that somebody has chosen.
    """

    queries: Sequence[GoldenQuery]
    sampled: bool = False


class GoldenUnreadable(EmbedSearchError):
    """The file of golden queries cannot be used."""


def read_golden(path: Path) -> list[GoldenQuery]:
    """The queries of a file.

    Raises:
        GoldenUnreadable: naming the line that is wrong.
    """
    queries: list[GoldenQuery] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    queries.append(_parsed(line, f"{path}, line {number}"))
    except OSError as exc:
        raise GoldenUnreadable(f"{path} cannot be read: {exc.strerror}") from exc
    if not 1 <= len(queries) <= MAX_QUERIES:
        raise GoldenUnreadable(f"{path} must hold 1 to {MAX_QUERIES} queries, not {len(queries)}")
    return queries


async def ask_both(queries: Sequence[GoldenQuery], live: SearchBackend, new: SearchBackend) -> GoldenResult:
    """Ask both generations every query, in turns, twice: the second time is what counts for latency.

    Raises:
        IndexFault: one of them does not answer.
    """
    overlaps, judged, milliseconds = [], [], ([], [])  # type: tuple[list[float], list[tuple[float, float]], tuple[list[float], list[float]]]
    for each in queries:
        answers = []
        for backend, times in ((live, milliseconds[0]), (new, milliseconds[1])):
            await _best(backend, each.query)
            began = time.perf_counter()
            answers.append(await _best(backend, each.query))
            times.append((time.perf_counter() - began) * 1_000)
        before, after = answers
        overlaps.append(len(set(before) & set(after)) / len(before) if before else 1.0)
        if any(grade > 0 for grade in each.relevant.values()):
            judged.append((ndcg(before, each.relevant, depth=DEPTH), ndcg(after, each.relevant, depth=DEPTH)))
    return GoldenResult(
        queries=len(queries),
        overlap=statistics.fmean(overlaps),
        judged=len(judged),
        live_ndcg=statistics.fmean(before for before, _ in judged) if judged else 0.0,
        new_ndcg=statistics.fmean(after for _, after in judged) if judged else 0.0,
        live_ms=statistics.median(milliseconds[0]),
        new_ms=statistics.median(milliseconds[1]),
    )


async def _best(backend: SearchBackend, text: str) -> list[str]:
    try:
        answer = await backend.search(Query(text, DEPTH, Deadline.after(_SECONDS)))
    except InvalidQuery:  # by this method; then by both generations
        return []
    return [hit.id for hit in answer.hits]


def _parsed(line: bytes, place: str) -> GoldenQuery:
    try:
        query = msgspec.json.decode(line, type=GoldenQuery)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise GoldenUnreadable(f"{place}: {exc}") from exc
    if not query.query.strip() or len(query.query) > MAX_QUERY_CHARACTERS:
        raise GoldenUnreadable(f"{place}: query must have 1 to {MAX_QUERY_CHARACTERS} characters and not be blank")
    return query
