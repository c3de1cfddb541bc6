"""Estimates: upper bounds of scores that fit 16 bits, so that many are added up at a time.

A row gives the saturation of a dense list for every document, in steps, up. So its part of an estimate is a product of
two integers, whatever the document, and neither ordinals nor counts are unpacked for it. Only documents whose estimate
is good enough are scored.

A document that has a term adds at least 1 for it; so those that match are those with an estimate.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from indexer.bm25.blocks import ROUNDING, SCORE_UNITS, Formula
from indexer.compiled import inlined, signed

LARGEST_ESTIMATE: Final = (1 << 16) - 1
"""Stands for all that is not less."""

_STEPS_TOGETHER: Final = LARGEST_ESTIMATE // 255
"""What a step of each term may add, all terms together, lest estimates become too large."""

_LEAST_TOGETHER: Final = 64
"""The same in a query of so many terms that some may."""


@inlined
def _units_of_step(formula: Formula, weight: float) -> float:
    """What a step of saturation adds to a score at most; see `indexer.bm25.blocks.units_of`."""
    return max(0.0, weight * formula.bound_step) * ROUNDING * SCORE_UNITS + 1.0


@inlined
def estimate_scale(formula: Formula, weights: npt.NDArray[np.float64]) -> float:
    """What an estimate is of a score, for a query with these weights."""
    together = 0.0
    for t in range(len(weights)):
        together += _units_of_step(formula, weights[t])
    return max(_STEPS_TOGETHER - len(weights), _LEAST_TOGETHER) / together


@inlined
def estimate_of_step(formula: Formula, weight: float, scale: float) -> Any:  # noqa: ANN401 - a number of numba's
    """What a step of saturation adds to an estimate; 255 of them are `LARGEST_ESTIMATE` at most."""
    return np.uint16(signed(_units_of_step(formula, weight) * scale) + 1)


@inlined
def estimate_of_part(part: int, scale: float) -> Any:  # noqa: ANN401 - a number of numba's
    """What a term's part of a score adds to an estimate."""
    return np.uint16(min(max(signed(part * scale) + 1, 1), LARGEST_ESTIMATE))


@inlined
def estimate_to_reach(score: int, scale: float) -> int:
    """The estimate that a document needs at least to have a score, and to match at all."""
    return min(max(signed(score * scale), 1), LARGEST_ESTIMATE)


@inlined
def sum_of(estimate: Any, more: Any) -> Any:  # noqa: ANN401 - a number of numba's
    """Two estimates together; LLVM makes one instruction of it."""
    together = np.uint16(np.uint16(estimate) + np.uint16(more))
    return np.uint16(LARGEST_ESTIMATE) if together < np.uint16(more) else together
