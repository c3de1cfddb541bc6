"""Upper bounds of saturation, for each posting, full block and list: what lets a query skip them."""

from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.bm25.scoring import K1, saturation
from indexer.segment import BLOCK, PostingChunk, SegmentFileBuilder

BOUND_STEP: Final = (K1 + 1) / 255
"""Saturation stays below k1 + 1, so a bound in these steps fits a byte."""

Starts = npt.NDArray[np.int64]
Bounds = npt.NDArray[np.uint8]


class BoundsBuilder:
    """Computes the bounds while postings are written.

    Args:
        lengths: terms of each document, shape (documents,), uint32.
    """

    def __init__(self, lengths: npt.NDArray[np.uint32]) -> None:
        self._lengths = lengths
        self.average = float(lengths.mean()) if lengths.any() else 1.0
        self._blocks: list[Bounds] = [np.empty(0, np.uint8)]
        self._lists: list[Bounds] = [np.empty(0, np.uint8)]

    def add(self, chunk: PostingChunk, starts: Starts) -> Bounds:
        """Take in lists: `chunk` holds their postings, one list after another from each of `starts`, int64, on.

        Returns:
            the saturation of each posting, in steps, up.
        """
        ordinals, occurrences = chunk.postings[:, 0], chunk.postings[:, 1]
        reached = saturation(occurrences, self._lengths[ordinals], self.average)
        steps = np.minimum(np.ceil(reached / BOUND_STEP), 255).astype(np.uint8)
        if len(steps):
            self._lists.append(np.maximum.reduceat(steps, starts[:-1]))
        blocks = np.diff(starts) // BLOCK
        before = np.cumsum(blocks) - blocks
        number = np.arange(int(blocks.sum())) - np.repeat(before, blocks)
        begins = np.repeat(starts[:-1], blocks) + BLOCK * number
        self._blocks.append(steps[begins[:, np.newaxis] + np.arange(BLOCK)].max(axis=1, initial=0))
        return steps

    def write(self, builder: SegmentFileBuilder) -> None:
        """Write the sections `bm25.block_bounds`, `bm25.list_bounds` and `bm25.average`."""
        builder.add("bm25.block_bounds", np.concatenate(self._blocks))
        builder.add("bm25.list_bounds", np.concatenate(self._lists))
        builder.add("bm25.average", np.array([self.average], np.float64).view(np.uint64))
