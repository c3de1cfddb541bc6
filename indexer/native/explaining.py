"""Takes the score of a document apart: the five signals of `indexer.native.ranking`, counted anew."""

import numpy as np

from indexer.explanation import Explanation
from indexer.native.budget import TimeBudget
from indexer.native.contents import NativeContents
from indexer.native.pattern import Pattern
from indexer.native.ranking import DENSITY_BYTES, DENSITY_WEIGHT, HALF_OF_COUNT, PATH, density_of
from indexer.native.verification import Verifier
from indexer.segment import Segment


def explain(segment: Segment[NativeContents], ordinal: int, pattern: Pattern, budget: TimeBudget) -> Explanation | None:
    """The score of a document as the sum of its signals; None where it does not match, or there is no time.

    Args:
        segment: that holds it.
        ordinal: of the document.
        pattern: to match.
        budget: of the request.
    """
    contents, ordinals = segment.contents, np.array([ordinal], np.uint32)
    verifier = Verifier(pattern, budget)
    found = verifier.find_by_regex(contents, [ordinal])
    if not len(found.ordinals):
        return None
    place = int(found.tallies.places[0])
    tallies = verifier.count(contents, ordinals, found.tallies.places)
    lines, words = int(tallies.counts[0]), int(tallies.words[0])
    if not lines:
        return None
    size = int(contents.lengths(ordinals)[0])
    density = float(density_of(np.array([lines]), np.array([size]))[0])
    in_path = bool(verifier.match_ids(segment.documents, ordinals)[0])
    signals = (
        Explanation(
            f"lines / (lines + {HALF_OF_COUNT})",
            lines / (lines + HALF_OF_COUNT),
            (_number("lines with a match, near the first of them, 16 at most", lines),),
        ),
        Explanation(
            f"density / (density + 1) * {DENSITY_WEIGHT}",
            DENSITY_WEIGHT * density / (density + 1),
            (
                Explanation(
                    f"density = lines in {DENSITY_BYTES} bytes of text", density, (_number("bytes of text", size),)
                ),
            ),
        ),
        _number("1 when a match begins in the title", place < int(contents.titles[ordinal])),
        Explanation(
            "share of the lines whose match is a whole word",
            words / lines,
            (_number("lines with a match between word boundaries", words),),
        ),
        _number(f"{PATH} when the id matches, which for a file is its path", PATH * in_path),
    )
    return Explanation("sum of the signals", sum(signal.value or 0.0 for signal in signals), signals)


def _number(description: str, value: float) -> Explanation:
    return Explanation(description, float(value))
