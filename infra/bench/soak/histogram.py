"""Latencies in buckets that each are 2 % wider than the one before: any number of them in a few kilobytes.

A percentile is told as the upper end of its bucket, so it is never too short, and at most 2 % too long.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

_SHORTEST: Final = 1e-4
_GROWTH: Final = math.log(1.02)


class Histogram(msgspec.Struct):
    """How many latencies fell into each bucket.

    Attributes:
        buckets: by the number of the bucket.
        longest: the longest latency, exactly, in seconds.
    """

    buckets: dict[int, int] = msgspec.field(default_factory=dict)
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a latency."""
        bucket = max(0, math.ceil(math.log(max(seconds, _SHORTEST) / _SHORTEST) / _GROWTH))
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.longest = max(self.longest, seconds)

    def merge(self, other: "Histogram") -> None:
        """Count all that another one has counted."""
        self.buckets = dict(Counter(self.buckets) + Counter(other.buckets))
        self.longest = max(self.longest, other.longest)

    @property
    def count(self) -> int:
        """How many latencies there are."""
        return sum(self.buckets.values())

    def percentile(self, percent: float) -> float | None:
        """The latency that `percent` percent do not exceed (nearest rank), in seconds; None where there is none."""
        rank = math.ceil(percent * self.count / 100)
        for bucket, reached in _running(self.buckets):
            if reached >= rank:
                return min(self.longest, _SHORTEST * math.exp(bucket * _GROWTH))
        return None


def _running(buckets: Mapping[int, int]) -> list[tuple[int, int]]:
    total = 0
    running = []
    for bucket in sorted(buckets):
        total += buckets[bucket]
        running.append((bucket, total))
    return running
