"""Which segments to merge: a tiered policy that keeps their number logarithmic and their deletions few.

Segments fall into levels by size, each level `FACTOR` times larger than the one below. Once `FACTOR` neighbours have
reached the same level, they become one, and with them whatever smaller ones lie in between, so a document is
rewritten about once a level. Only neighbours merge: documents keep the order in which they came. The idea is Lucene's
LogMergePolicy (O'Neil et al., The Log-Structured Merge-Tree, 1996, has the amortised cost).

An index at rest merges on, to one segment if it is not too large: each segment costs every query something, and there
is nothing else to do. Still a large segment is never rewritten for a few small ones.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

FACTOR: Final = 8
"""Segments of one level that make one of the next."""

MAX_SEGMENTS: Final = 40
"""More than this are never left, whatever their levels; each costs every query a search of its dictionary."""

RECLAIM_SHARE: Final = 0.5
"""A segment is rewritten once this share of its documents is deleted."""

RESTING_SHARE: Final = 1 / FACTOR
"""At rest, segments merge with a larger one once they have this part of its size: so what comes makes `FACTOR` times as
much be rewritten at most, each time that it becomes a part of something larger."""

RESTING_BYTES: Final = 1 << 29
"""At rest, nothing larger is made: a merge takes about half as much memory, and some seconds of a processor."""

_SMALLEST_BYTES: Final = 65_536
_NEGLIGIBLE_BYTES: Final = 1 << 20
"""No more than this is worth any thought: what is so small together becomes one."""


class SegmentSize(msgspec.Struct, frozen=True):
    """What the policy looks at.

    Attributes:
        size_bytes: of the segment's file.
        documents: how many it holds.
        deleted: how many of them are deleted.
    """

    size_bytes: int
    documents: int
    deleted: int

    @property
    def live_bytes(self) -> float:
        """About what would be left of it without its deleted documents."""
        return self.size_bytes * (1 - self.deleted / max(1, self.documents))


def choose_merge(segments: Sequence[SegmentSize]) -> slice | None:
    """The neighbours to merge next, or None when all is well; a slice of one is a segment to rewrite."""
    levels = [_level(segment) for segment in segments]
    for level in sorted(set(levels)):
        for run in _runs(levels, level):
            if levels[run].count(level) >= FACTOR:
                return run
    for place, segment in enumerate(segments):
        if segment.deleted > RECLAIM_SHARE * segment.documents:
            return slice(place, place + 1)
    return _cheapest_window(segments) if len(segments) > MAX_SEGMENTS else None


def choose_resting_merge(segments: Sequence[SegmentSize]) -> slice | None:
    """As `choose_merge`, for an index to which nothing was written for a while."""
    return _balanced(segments, 0, len(segments)) or choose_merge(segments)


def _balanced(segments: Sequence[SegmentSize], first: int, end: int) -> slice | None:
    """The longest stretch of neighbours, from one place to before another, that are not small beside the largest."""
    if end - first < 2:  # noqa: PLR2004 - neighbours
        return None
    sizes = [segment.live_bytes for segment in segments[first:end]]
    largest, together = max(sizes), sum(sizes)
    worth_it = together <= _NEGLIGIBLE_BYTES or together - largest >= RESTING_SHARE * largest
    if worth_it and together <= RESTING_BYTES:
        return slice(first, end)
    at = first + sizes.index(largest)
    return _balanced(segments, first, at) or _balanced(segments, at + 1, end)


def _level(segment: SegmentSize) -> int:
    return int(math.log(max(segment.live_bytes, _SMALLEST_BYTES) / _SMALLEST_BYTES, FACTOR))


def _runs(levels: Sequence[int], level: int) -> list[slice]:
    """Longest stretches of neighbours that are not above a level."""
    runs: list[slice] = []
    start = 0
    for place in range(len(levels) + 1):
        if place == len(levels) or levels[place] > level:
            if place > start:
                runs.append(slice(start, place))
            start = place + 1
    return runs


def _cheapest_window(segments: Sequence[SegmentSize]) -> slice:
    sizes = [sum(each.size_bytes for each in segments[start : start + FACTOR]) for start in range(len(segments))]
    windows = sizes[: len(segments) - FACTOR + 1]
    start = windows.index(min(windows))
    return slice(start, start + FACTOR)
