"""Finds fusion weights on a judged collection: `python -m infra.evaluation.tune PATH --url http://127.0.0.1:8080`.

The collection must be published already (`embed-search eval PATH --url …` does it). Each method's rankings are fetched
once; then every combination of weights is fused by the API's own code. To guard against fitting the queries at hand,
weights are chosen on one half of the queries and reported on the other, both ways round.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import click
import httpx

from api.fusion import DEFAULT_WEIGHTS, TIERS, FusionRule, fuse
from indexer.backend import Hit
from infra.evaluation.collection import Judged, load_judged
from infra.evaluation.measures import ndcg
from infra.evaluation.run import NDCG_DEPTH, EvaluationFailed
from infra.local.key import key_header
from streams.document import DocumentId

_METHODS: Final = ("bm25", "tantivy", "semantic")
_GRID: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_TIMEOUT_MS: Final = 30_000

Rankings = dict[str, list[Hit]]


@click.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--url", default="http://127.0.0.1:8080", show_default=True)
@click.option("--kind", type=click.Choice(["rrf", "linear"]), default="rrf", show_default=True)
@click.option("--top", default=10, show_default=True, help="Combinations to show.")
def main(path: Path, url: str, kind: str, top: int) -> None:
    """Print the best weights for the judged collection in PATH."""
    judged = load_judged(path)
    runs = asyncio.run(_fetch(url, judged))
    scores = {weights: _scores(judged, runs, _rule(kind, weights)) for weights in _combinations()}
    for weights, values in sorted(scores.items(), key=lambda item: -fmean(item[1]))[:top]:
        click.echo(f"{fmean(values):.4f}  {dict(zip(_METHODS, weights, strict=True))}")
    default = tuple(DEFAULT_WEIGHTS[method] for method in _METHODS)
    click.echo(f"{fmean(_scores(judged, runs, _rule(kind, default))):.4f}  the defaults")
    for chosen_on, reported_on in ((0, 1), (1, 0)):
        best = max(scores, key=lambda weights: fmean(scores[weights][chosen_on::2]))
        held_out = fmean(scores[best][reported_on::2])
        click.echo(f"{held_out:.4f}  on the half it was not chosen on: {dict(zip(_METHODS, best, strict=True))}")


def _combinations() -> list[tuple[float, ...]]:
    """Weights relative to one another: the largest is as large as the grid allows only once."""
    return [weights for weights in product(_GRID, repeat=len(_METHODS)) if 1.0 in weights]


def _rule(kind: str, weights: Sequence[float]) -> FusionRule:
    named = dict(zip(_METHODS, weights, strict=True))
    return FusionRule(kind="rrf" if kind == "rrf" else "linear", weights=named)


def _scores(judged: Sequence[Judged], runs: Sequence[Rankings], rule: FusionRule) -> list[float]:
    """nDCG@10 of each query."""
    asked = {method for method, weight in rule.weights.items() if weight > 0}
    values = []
    for query, rankings in zip(judged, runs, strict=True):
        fused = fuse({method: hits for method, hits in rankings.items() if method in asked}, rule)
        values.append(ndcg([hit.id for hit in fused], query.grades, depth=NDCG_DEPTH))
    return values


async def _fetch(url: str, judged: Sequence[Judged]) -> list[Rankings]:
    async with httpx.AsyncClient(
        base_url=url, timeout=_TIMEOUT_MS / 1000, trust_env=False, headers=key_header()
    ) as http:
        return [{method: await _ranking(http, query.text, method) for method in _METHODS} for query in judged]


async def _ranking(http: httpx.AsyncClient, text: str, method: str) -> list[Hit]:
    request: Mapping[str, Any] = {
        "query": text,
        "methods": [method],
        "limit": TIERS[0],
        "highlight": False,
        "timeout_ms": _TIMEOUT_MS,
    }
    response = await http.post("/search", json=request)
    if response.status_code != httpx.codes.OK or response.json()["partial"]:
        raise EvaluationFailed(f"search for {text!r} by {method} failed: {response.text[:500]}")
    return [Hit(DocumentId(hit["id"]), hit["methods"][method]["score"]) for hit in response.json()["results"]]


if __name__ == "__main__":
    main()
