"""How well a document matches a pattern: a sum of five numbers between 0 and 1, each a hint at what a reader looks for.

    score = c / (c + 3)           c: lines with a match, as `indexer.native.tallies` counts them: 16 at most
          + d / (d + 1) / 2       density: d = c in 1,024 bytes of text
          + t                     1 when a match begins in the title
          + w                     share of the counted lines in which a match begins and ends at word boundaries
          + p / 2                 p: 1 when the document's id matches, which for a file is its path

The signals are those of zoekt's ranking (https://github.com/sourcegraph/zoekt, doc/design.md); the weights are ours.
Lines are counted and not matches, and only near the first of them, since compiled code can do so in the same walk that
finds it, at a price that has a bound; where a match ends, and whether the next one is another, only RE2 could tell.
So is a word: any of the matches that a line holds will do, and not only those that RE2 would choose.

None of the five falls when there are more lines, nor does rounding change that: so where only the first match of a
document is known, it tells what the document can score at most, and at least.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from indexer.native.tallies import COUNTED_LINES, Numbers

HALF_OF_COUNT: Final = 3
DENSITY_BYTES: Final = 1_024
DENSITY_WEIGHT: Final = 0.5

PATH: Final = 0.5
"""What a match in the id adds to a score; added last, to those that it can bring among the best."""

Scores = npt.NDArray[np.float64]


def scores(counts: Numbers, words: Numbers, lengths: Numbers, in_title: npt.NDArray[np.bool_]) -> Scores:
    """Rate documents, their ids left out; all arguments of shape (n,).

    Args:
        counts: lines of each, at least 1 and at most `COUNTED_LINES`.
        words: how many of them have a match that begins and ends at word boundaries.
        lengths: bytes of each text.
        in_title: whether the first match begins in the title.
    """
    density = density_of(counts, lengths)
    return counts / (counts + HALF_OF_COUNT) + DENSITY_WEIGHT * density / (density + 1) + in_title + words / counts


def density_of(counts: Numbers, lengths: Numbers) -> Scores:
    """Lines in `DENSITY_BYTES` of each text; arguments as `scores`."""
    density: Scores = counts * DENSITY_BYTES / np.maximum(1, lengths)
    return density


def highest_scores(lengths: Numbers, in_title: npt.NDArray[np.bool_]) -> Scores:
    """What documents of which the first match is known score at most; arguments as `scores`."""
    most = np.full(len(lengths), COUNTED_LINES, np.int64)
    return scores(most, most, lengths, in_title)
