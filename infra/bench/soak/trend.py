"""Whether a series grows: the Theil-Sen slope, which outliers do not move, with its confidence interval.

The slope is the median of the slopes of all pairs of points (Sen 1968, doi:10.1080/01621459.1968.10480934). Its
interval is that of Kendall's S by the normal approximation (Hollander, Wolfe and Chicken, Nonparametric Statistical
Methods, 9.3). Points that follow each other are alike, so there are fewer of them than there seem to be: the variance
of S is widened by the autocorrelation of what the slope does not explain, as Hamed and Rao do for the test of a trend
(1998, doi:10.1016/S0022-1694(97)00125-X), here as of a first-order process.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, median
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
LEAST_POINTS: Final = 10

_MOST_ALIKE: Final = 0.95


class Trend(msgspec.Struct, frozen=True):
    """The slope of a series, in its unit a unit of time.

    Attributes:
        slope: the estimate.
        low: it is over this with confidence.
        high: and under this.
    """

    slope: float
    low: float
    high: float


def trend(times: Sequence[float], values: Sequence[float]) -> Trend | None:
    """The trend of a series; None where it has too few points for one.

    Args:
        times: increasing, each once.
        values: of those times.
    """
    count = len(times)
    if count < LEAST_POINTS:
        return None
    x, y = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(count, 1)
    slopes = np.sort((y[second] - y[first]) / (x[second] - x[first]))
    slope = float(median(slopes))
    variance = count * (count - 1) * (2 * count + 5) / 18 * _inflation(y - slope * x)
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(variance)
    low = max(0, math.floor((len(slopes) - reach) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))
    return Trend(slope, float(slopes[low]), float(slopes[high]))


def _inflation(rests: NDArray[np.float64]) -> float:
    """By how much dependence widens the variance: (1 + r) / (1 - r), r being the autocorrelation of the first lag."""
    around = rests - np.median(rests)
    power = float(around @ around)
    alike = float(around[1:] @ around[:-1]) / power if power > 0 else 0.0
    alike = min(max(alike, 0.0), _MOST_ALIKE)
    return (1 + alike) / (1 - alike)
