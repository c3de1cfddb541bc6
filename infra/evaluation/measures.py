"""Measures of a ranking against relevance judgments, as trec_eval defines them.

Judgments give a document's grade; a document without one is not relevant.
"""

import math
from collections.abc import Mapping, Sequence


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Normalised discounted cumulative gain, with linear gains and a log2 discount.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 20(4), 2002; gains as in
    trec_eval's `ndcg_cut`.

    Args:
        ranking: document ids, best first, each once.
        grades: grade by document id; at least one is positive.
        depth: ranks that count.

    Returns:
        From 0 to 1; 0 when no document is relevant.
    """
    gains = [max(0, grades.get(document_id, 0)) for document_id in ranking[:depth]]
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth]
    best = _discounted(ideal)
    return _discounted(gains) / best if best else 0.0


def recall(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Share of the relevant documents that stand in the first `depth` ranks; 0 when no document is relevant."""
    relevant = {document_id for document_id, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
