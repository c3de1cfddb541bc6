"""The BM25 peers that keep everything in memory: `rank_bm25` and `bm25s`, on the very terms that our index has.

They rebuild everything for each change and hold a subset only: 20,000 files of source code take rank_bm25 3 GB.
"""

import math
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from sys import intern

import msgspec
import numpy as np
import numpy.typing as npt
from rank_bm25 import BM25Okapi

from indexer.analysis import Analyzer
from indexer.backend import Answer
from infra.bench.building import Build, Stopwatch, text_size
from infra.bench.timing import Contender
from streams.document import Document, DocumentId

RELATIVE_TOLERANCE = 1e-5

Ranked = Sequence[tuple[int, float]]
"""Ordinals of documents and their scores, best first."""


class Tokenized(msgspec.Struct, frozen=True):
    """Documents as terms.

    Attributes:
        ids: of the documents.
        terms: of each document, by its ordinal.
        text_bytes: of all of them.
        watch: what the analysis took; for a peer it is part of indexing.
    """

    ids: Sequence[DocumentId]
    terms: Sequence[Sequence[str]]
    text_bytes: int
    watch: Stopwatch


def tokenize(documents: Sequence[Document], analyzer: Analyzer) -> Tokenized:
    """Analyse the bodies of documents; terms that are equal share their memory."""
    watch = Stopwatch()
    with watch.running():
        terms = [list(map(intern, analyzer.terms(document.body))) for document in documents]
    return Tokenized([document.id for document in documents], terms, sum(map(text_size, documents)), watch)


def rank_bm25_peer(tokenized: Tokenized, analyzer: Analyzer, limit: int) -> tuple[Contender[str], Build]:
    """`rank_bm25.BM25Okapi`; it answers with `Ranked`."""
    watch = Stopwatch()
    with watch.running():
        okapi = BM25Okapi(tokenized.terms)

    def search(query: str) -> Ranked:
        return _best(okapi.get_scores(analyzer.terms(query)), limit)

    return Contender(f"rank_bm25 {version('rank-bm25')}", search, runs=1), _build(tokenized, watch)


def bm25s_installed() -> bool:
    """Whether `bm25s` can be compared with."""
    return find_spec("bm25s") is not None


def bm25s_peer(tokenized: Tokenized, analyzer: Analyzer, limit: int) -> tuple[Contender[str], Build]:
    """`bm25s` with its numba backend, in one thread; it answers with ids and scores, as we do."""
    import bm25s  # noqa: PLC0415 - a peer that need not be installed

    watch = Stopwatch()
    with watch.running():
        engine = bm25s.BM25(backend="numba")
        engine.index(tokenized.terms, show_progress=False)
    hits = min(limit, len(tokenized.ids))
    ids = np.array(tokenized.ids, dtype=object)  # of a list it would make an array for each query

    def search(query: str) -> object:
        return engine.retrieve([analyzer.terms(query)], corpus=ids, k=hits, show_progress=False, n_threads=1)

    return Contender(f"bm25s {version('bm25s')}", search), _build(tokenized, watch)


def same_ranking(ours: Answer, theirs: Ranked, ids: Sequence[DocumentId]) -> bool:
    """Whether the best scores are equal, rank by rank, and for each document that both name.

    Documents of equal score may come in any order; one without a score, which rank_bm25 ranks too, counts for neither.

    Args:
        ours: our answer.
        theirs: rank_bm25's.
        ids: of the documents, by ordinal.
    """
    own = [(hit.id, hit.score) for hit in ours.hits if hit.score]
    peer = [(ids[ordinal], score) for ordinal, score in theirs if score]
    known = dict(peer)
    pairs = [(score, known.get(name, score)) for name, score in own]
    pairs += [(mine, other) for (_, mine), (_, other) in zip(own, peer, strict=False)]
    return len(own) == len(peer) and all(math.isclose(*pair, rel_tol=RELATIVE_TOLERANCE) for pair in pairs)


def _best(scores: npt.NDArray[np.float64], limit: int) -> Ranked:
    """The best scores, and not by rank_bm25's own `get_top_n`, which sorts them all."""
    limit = min(limit, len(scores))
    best = np.argpartition(scores, -limit)[-limit:]
    order = best[np.argsort(-scores[best])]
    return list(zip(order.tolist(), scores[order].tolist(), strict=True))


def _build(tokenized: Tokenized, watch: Stopwatch) -> Build:
    analysis = tokenized.watch
    return Build(
        documents=len(tokenized.ids),
        text_bytes=tokenized.text_bytes,
        seconds=analysis.seconds + watch.seconds,
        cpu_seconds=analysis.cpu_seconds + watch.cpu_seconds,
    )
