"""Which segments to merge: a tiered policy that keeps their number logarithmic and their deletions few.

Segments fall into levels by size, each level `FACTOR` times larger than the one below. Once `FACTOR` neighbours have
reached the same level, they become one, and with them whatever smaller ones lie in between, so a document is
rewritten about once a level. Only neighbours merge: documents keep the order in which they came. The idea is Lucene's
LogMergePolicy (O'Neil et al., The Log-Structured Merge-Tree, 1996, has the amortised cost).
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

_SMALLEST_BYTES: Final = 65_536


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


def _level(segment: SegmentSize) -> int:
    """Level of what would be left of the segment without its deleted documents."""
    live_bytes = segment.size_bytes * (1 - segment.deleted / max(1, segment.documents))
    return int(math.log(max(live_bytes, _SMALLEST_BYTES) / _SMALLEST_BYTES, FACTOR))


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
