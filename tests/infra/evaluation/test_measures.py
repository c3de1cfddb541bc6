"""nDCG and recall as trec_eval computes them."""

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.evaluation.measures import ndcg, recall

GRADES = {"a": 3, "b": 2, "c": 3, "d": 0, "e": 1, "f": 2}

ids = st.lists(st.sampled_from("abcdefghij"), unique=True)


def test_ndcg_equals_the_worked_example() -> None:
    """The textbook ranking 3 2 3 0 1 2 has DCG 6.861 and ideal DCG 7.141 with linear gains."""
    assert ndcg(list("abcdef"), GRADES, depth=6) == pytest.approx(6.861 / 7.141, abs=1e-3)


def test_ndcg_counts_only_the_given_depth() -> None:
    """A relevant document below the cut adds nothing, while the ideal ranking is cut as well."""
    assert ndcg(["x", "a"], {"a": 1}, depth=1) == 0.0
    assert ndcg(["x", "a"], {"a": 1}, depth=2) == pytest.approx(1 / log2(3))


def test_without_relevant_documents_both_measures_are_zero() -> None:
    """A query that nothing answers cannot be answered well."""
    assert ndcg(["a"], {"a": 0}, depth=10) == 0.0
    assert recall(["a"], {"a": 0}, depth=10) == 0.0


def test_recall_is_the_share_of_relevant_documents_found() -> None:
    """Only graded documents count, and only within the depth."""
    assert recall(["a", "x", "b"], {"a": 1, "b": 2, "c": 1, "x": 0}, depth=3) == pytest.approx(2 / 3)
    assert recall(["a", "x", "b"], {"a": 1, "b": 2, "c": 1, "x": 0}, depth=2) == pytest.approx(1 / 3)


@given(ranking=ids)
def test_the_ideal_ranking_is_never_beaten(ranking: list[str]) -> None:
    """NDCG lies between 0 and 1 and is 1 for the ideal order."""
    ideal = sorted(GRADES, key=lambda document_id: -GRADES[document_id])
    assert 0.0 <= ndcg(ranking, GRADES, depth=10) <= ndcg(ideal, GRADES, depth=10) == pytest.approx(1.0)
