"""Adds the counts of several segments up: by hash, so that no name is read but those of the commonest values."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.facets import Facet, FacetQuery, facet_of
from indexer.segment.facets import Counts, FacetColumns, Hashes
from indexer.segment.tombstones import Flags


def count_values(segments: Sequence[tuple[FacetColumns, Flags]], asked: FacetQuery) -> dict[str, Facet]:
    """The facets of some documents.

    Args:
        segments: of each the columns, and which documents to count, by ordinal.
        asked: which facets.
    """
    parts: dict[str, list[_Part]] = {field: [] for field in asked.fields}
    for columns, counted in segments:
        spans = [columns.places(field) for field in asked.fields]
        counts = columns.count(counted, spans, asked.deadline)
        for field, (first, end), each in zip(asked.fields, spans, counts, strict=True):
            held = np.flatnonzero(each)
            parts[field].append(_Part(columns, held + first, columns.hashes(first, end)[held], each[held]))
    return {field: _facet(field, each, asked.limit) for field, each in parts.items()}


class _Part(msgspec.Struct, frozen=True):
    """The values of one field in one segment that are held by the documents to count.

    Attributes:
        columns: of the segment.
        places: of the names, in their order, shape (n,).
        hashes: of the names, shape (n,), uint64.
        counts: shape (n,), int64.
    """

    columns: FacetColumns
    places: npt.NDArray[np.intp]
    hashes: Hashes
    counts: Counts


def _facet(field: str, parts: Sequence[_Part], limit: int) -> Facet:
    hashes = np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)])
    distinct, inverse = np.unique(hashes, return_inverse=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, inverse, np.concatenate([np.empty(0, np.int64), *(part.counts for part in parts)]))
    cut = int(np.partition(totals, -limit)[-limit]) if len(totals) > limit else 0
    names: dict[bytes, int] = {}
    reached = 0
    for part in parts:
        sums = totals[inverse[reached : reached + len(part.places)]]
        reached += len(part.places)
        # Of values that are as common as the last, the first by name are shown, and here names are in order.
        for place in [*np.flatnonzero(sums > cut).tolist(), *np.flatnonzero(sums == cut)[:limit].tolist()]:
            names[part.columns.name(int(part.places[place]))] = int(sums[place])
    return facet_of(names, field, limit, more=len(distinct) - len(names))
