"""Holds an index against the textbook: `rank_bm25.BM25Okapi` scores a sample of its documents.

The statistics are counted anew from the stored documents, one at a time, so that what is compared shares no posting,
no length and no sum with the index. Only the sample's terms stay in memory, and how many documents have each term.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from rank_bm25 import BM25Okapi

from indexer.analysis import get_analyzer
from indexer.backend import Query
from indexer.bm25.postings import Bm25Engine
from indexer.bm25.scoring import EPSILON, K1, B
from indexer.bm25.searcher import Bm25Searcher
from indexer.deadline import Deadline
from indexer.generation import Generation
from indexer.reports.scores import Disagreement, ScoreAudit
from streams.document import DocumentId

RELATIVE_TOLERANCE: Final = 1e-5

_HITS: Final = 1_000
_SECONDS_A_QUERY: Final = 60.0


def audit_scores(generation: Generation, sample: int) -> ScoreAudit:
    """Score a sample of a generation's documents by `rank_bm25`, one query for each, and compare.

    Args:
        generation: of bm25; one commit of it is looked at, while others may follow.
        sample: documents, spread evenly over the index.

    Raises:
        GenerationUnusable: files are damaged, gone or of another format.
    """
    searcher = Bm25Searcher(generation)
    searcher.pin()
    analyzer = get_analyzer(generation.settings.analyzer)
    documents = searcher.stats().documents
    if not documents:
        return ScoreAudit(0, 0, ())
    engine = Bm25Engine(analyzer)
    terms = ((stored.document.id, engine.terms(stored.document)) for stored in searcher.documents())
    textbook = _SampledOkapi(terms, every=max(1, documents // sample))
    compared, disagreements = 0, list[Disagreement]()
    queries = textbook.queries()
    for query in queries:
        answer = searcher.search(Query(query, _HITS, Deadline.after(_SECONDS_A_QUERY)))
        scores = {hit.id: hit.score for hit in answer.hits}
        worst = answer.hits[-1].score if len(answer.hits) == _HITS else -math.inf
        expected = textbook.scores(analyzer.terms(query))
        compared += len(expected)
        disagreements += _disagreements(query, scores, worst, expected)
    return ScoreAudit(len(queries), compared, disagreements)


class _SampledOkapi(BM25Okapi):  # type: ignore[misc] # it ships no types
    """`BM25Okapi` with the statistics of all documents, and the terms of a sample.

    Args:
        documents: id and terms of each.
        every: how many documents there are for one in the sample.
    """

    def __init__(self, documents: Iterable[tuple[DocumentId, Sequence[str]]], *, every: int) -> None:
        self._every = every
        self._ids: list[DocumentId] = []
        self._frequencies: dict[str, int] = {}
        super().__init__(documents, k1=K1, b=B, epsilon=EPSILON)

    def queries(self) -> list[str]:
        """For each document of the sample its rarest term, its commonest and one in between, each query once."""
        return list(dict.fromkeys(self._queries()))

    def scores(self, terms: Sequence[str]) -> Mapping[DocumentId, float]:
        """The scores of those documents of the sample that have a term."""
        found = [place for place, document in enumerate(self.doc_freqs) if not document.keys().isdisjoint(terms)]
        if not found:
            return {}
        return dict(zip((self._ids[place] for place in found), self.get_batch_scores(terms, found), strict=True))

    def _queries(self) -> Iterator[str]:
        for document in self.doc_freqs:
            rarest_first = sorted(document, key=lambda term: (self._frequencies[term], term))
            if rarest_first:
                chosen = (rarest_first[0], rarest_first[len(rarest_first) // 2], rarest_first[-1])
                yield " ".join(dict.fromkeys(chosen))

    def _initialize(self, corpus: Iterable[tuple[DocumentId, Sequence[str]]]) -> dict[str, int]:
        """Count as the base class does, but keep the terms of the sample only."""
        total = 0
        frequencies: Counter[str] = Counter()
        for document_id, terms in corpus:
            counted = Counter(terms)
            frequencies.update(counted.keys())
            total += len(terms)
            if self.corpus_size % self._every == 0:
                self._ids.append(document_id)
                self.doc_freqs.append(counted)
                self.doc_len.append(len(terms))
            self.corpus_size += 1
        self.avgdl = total / self.corpus_size
        self._frequencies = frequencies
        return frequencies


def _disagreements(
    query: str, scores: Mapping[DocumentId, float], worst: float, expected: Mapping[DocumentId, float]
) -> Iterator[Disagreement]:
    """Compare; a document below the worst of all hits there was room for is rightly missing."""
    for document_id, reference in expected.items():
        score = scores.get(document_id)
        if score is None and reference <= worst * (1 + RELATIVE_TOLERANCE):
            continue
        if score is None or not math.isclose(score, reference, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-9):
            yield Disagreement(query, document_id, score, float(reference))
