"""What may be said of a rebuild: the golden queries, and what the gate lets through."""

from typing import Final, Literal

import msgspec

MAX_QUERY_CHARACTERS: Final = 4_096

Promotion = Literal["auto", "manual"]
"""Whether a generation that has proved itself goes live at once, or waits for an operator."""


class GoldenQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One query.

    Attributes:
        query: as a client would send it.
        relevant: grade by id of the documents that answer it; empty where nobody has judged.
    """

    query: str
    relevant: dict[str, int] = {}


class GateBounds(msgspec.Struct, frozen=True):
    """What is let through.

    Attributes:
        min_overlap: least share of the live generation's best ten documents that the new one must find as well.
        max_ndcg_drop: how much lower the mean nDCG@10 of judged queries may be.
        max_latency_ratio: how much slower the median query may be.
    """

    min_overlap: float = 0.5
    max_ndcg_drop: float = 0.02
    max_latency_ratio: float = 2.0
