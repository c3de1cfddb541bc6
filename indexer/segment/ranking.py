"""The best hits of a snapshot: by score, and by id where scores are equal, so that pages never overlap."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.backend import Hit
from indexer.segment.documents import StoredDocuments


class Matches(msgspec.Struct, frozen=True):
    """Documents of one segment that match a query.

    Attributes:
        documents: of the segment.
        ordinals: of the matches, shape (n,), any integer type.
        scores: of the matches, shape (n,), float64.
    """

    documents: StoredDocuments
    ordinals: npt.NDArray[np.integer]
    scores: npt.NDArray[np.float64]


def best_hits(matches: Sequence[Matches], limit: int) -> list[Hit]:
    """The best `limit` matches of all segments; ids are read only for those that can be among them."""
    scores = np.concatenate([np.empty(0), *(each.scores for each in matches)])
    limit = min(limit, len(scores))
    if limit <= 0:
        return []
    threshold = np.partition(scores, -limit)[-limit]
    hits = [hit for each in matches for hit in _hits_from(each, threshold)]
    hits.sort(key=lambda hit: (-hit.score, hit.id))
    return hits[:limit]


def _hits_from(matches: Matches, threshold: np.float64) -> list[Hit]:
    chosen = np.flatnonzero(matches.scores >= threshold)
    ordinals, scores = matches.ordinals[chosen].tolist(), matches.scores[chosen].tolist()
    return [Hit(matches.documents.id(ordinal), score) for ordinal, score in zip(ordinals, scores, strict=True)]
