"""The scores are those of `rank_bm25.BM25Okapi`, whatever happened to the index before."""

import math
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from rank_bm25 import BM25Okapi

from indexer.analysis import get_analyzer
from indexer.backend import Answer, Query
from indexer.bm25 import Bm25Searcher, Bm25Writer, generation_settings
from indexer.bm25.blocks import SCORE_UNITS
from indexer.bm25.postings import Bm25Engine
from indexer.deadline import Deadline
from indexer.explanation import Explanation
from indexer.generation import open_or_create_live
from streams.change import Delete, Position, Upsert
from streams.document import Document, DocumentId
from streams.watermark import Watermark

IDS = st.sampled_from([DocumentId(f"d{number}") for number in range(12)])
WORDS = st.sampled_from(
    ["the", "circuit", "breaker", "Breakers", "openCircuit", "snake_case", "x86", "東京都", "naïve", "of"]
)
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)


class AgainstRankBm25(RuleBasedStateMachine):
    """Drives an index and the textbook together; they must agree after each step."""

    @initialize()
    def create(self) -> None:
        """Begin with an empty index."""
        self.root = Path(tempfile.mkdtemp())
        self.generation = open_or_create_live(self.root, generation_settings())
        self.writer = Bm25Writer(self.generation)
        self.searcher = Bm25Searcher(self.generation)
        self.engine = Bm25Engine(get_analyzer("english"))
        self.applied: dict[DocumentId, Document] = {}
        self.committed: dict[DocumentId, Document] = {}
        self.offset = 0

    @rule(document_id=IDS, title=TEXTS, body=TEXTS)
    def upsert(self, document_id: DocumentId, title: str, body: str) -> None:
        """Put a document."""
        document = Document(id=document_id, title=title, body=body or ".")
        self.writer.apply([Upsert(document, self._position())])
        self.applied[document_id] = document

    @rule(document_id=IDS)
    def delete(self, document_id: DocumentId) -> None:
        """Delete a document, if it is there."""
        self.writer.apply([Delete(document_id, self._position())])
        self.applied.pop(document_id, None)

    @rule(documents=st.lists(st.tuples(IDS, TEXTS), min_size=8, max_size=8))
    def commit_one_by_one(self, documents: list[tuple[DocumentId, str]]) -> None:
        """Make as many segments as are merged at a time."""
        for document_id, body in documents:
            self.upsert(document_id, "", body)
            self.commit()

    @rule()
    def commit(self) -> None:
        """Commit, which also merges now and then."""
        self.writer.commit(Watermark(offsets={0: self.offset}))
        self.committed = dict(self.applied)

    @rule()
    def crash_and_reopen(self) -> None:
        """Lose what was not committed."""
        self.writer.close()
        self.writer = Bm25Writer(self.generation)
        self.offset = self.writer.watermark().offsets.get(0, 0)
        self.applied = dict(self.committed)

    @rule(query=TEXTS)
    def search(self, query: str) -> None:
        """Scores, matches and their order are those of the textbook."""
        expected = self._textbook(query)
        answer = self._ask(query)
        assert {hit.id for hit in answer.hits} == set(expected)
        assert answer.total == len(expected)
        for hit in answer.hits:
            assert hit.score == pytest.approx(expected[hit.id], rel=1e-5, abs=1e-12)
        assert list(answer.hits) == sorted(answer.hits, key=lambda hit: (-hit.score, hit.id))

    @rule(query=TEXTS)
    def explain(self, query: str) -> None:
        """Each score is the sum of its terms, each of which is the product of its factors, which follow the formula."""
        answer = self._ask(query)
        explained = self.searcher.explain(Query(query or ".", 100, Deadline.after(60)), [hit.id for hit in answer.hits])
        assert explained.keys() == {hit.id for hit in answer.hits}
        for hit in answer.hits:
            explanation = explained[hit.id]
            assert explanation.value == pytest.approx(
                hit.score, rel=1e-9, abs=2 * len(explanation.details) / SCORE_UNITS
            )
            assert explanation.value == pytest.approx(sum(_value(term) for term in explanation.details), rel=1e-9)
            for term in explanation.details:
                assert _value(term) == pytest.approx(math.prod(map(_value, term.details)), rel=1e-9)
                _check_formula(term)

    @invariant()
    def one_copy_of_each(self) -> None:
        """The index holds each committed document once."""
        assert self.searcher.stats().documents == len(self.committed)

    def teardown(self) -> None:
        """Remove the files."""
        self.writer.close()
        self.searcher.close()
        shutil.rmtree(self.root)

    def _position(self) -> Position:
        self.offset += 1
        return Position(0, self.offset - 1, self.offset)

    def _ask(self, query: str) -> Answer:
        return self.searcher.search(Query(query, 100, Deadline.after(60)))

    def _textbook(self, query: str) -> dict[DocumentId, float]:
        """Scores of the documents that hold a term of the query."""
        corpus = [self.engine.terms(document) for document in self.committed.values()]
        terms = get_analyzer("english").terms(query)
        if not any(corpus):
            return {}  # rank_bm25 divides by the number of terms
        scores = BM25Okapi(corpus).get_scores(terms)
        return {
            document_id: float(score)
            for document_id, tokens, score in zip(self.committed, corpus, scores, strict=True)
            if not set(terms).isdisjoint(tokens)
        }


def _value(explanation: Explanation) -> float:
    assert explanation.value is not None
    return explanation.value


def _check_formula(term: Explanation) -> None:
    """Work the formula out by what the explanation says goes into it."""
    idf, saturation = term.details[-2:]
    documents, frequency = map(_value, idf.details)
    own = math.log(documents - frequency + 0.5) - math.log(frequency + 0.5)
    assert _value(idf) == pytest.approx(own, rel=1e-9, abs=1e-12) or (own < 0 and "average idf" in idf.description)
    tf, k1, norm = saturation.details
    b, length, average = map(_value, norm.details)
    assert _value(norm) == pytest.approx(1 - b + b * length / average, rel=1e-9)
    assert _value(saturation) == pytest.approx(
        _value(tf) * (_value(k1) + 1) / (_value(tf) + _value(k1) * _value(norm)), rel=1e-9
    )


TestAgainstRankBm25 = AgainstRankBm25.TestCase
TestAgainstRankBm25.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
