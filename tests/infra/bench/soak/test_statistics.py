"""The statistics of a soak: latencies in buckets, and whether a series grows."""

import random
from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.bench.soak.histogram import Histogram
from infra.bench.soak.trend import LEAST_POINTS, trend
from infra.bench.timing import percentile

LATENCIES = st.lists(st.floats(1e-4, 100.0), min_size=1, max_size=60)


def histogram(latencies: list[float]) -> Histogram:
    """All of them counted."""
    counted = Histogram()
    for seconds in latencies:
        counted.add(seconds)
    return counted


@given(LATENCIES, st.floats(1, 100))
def test_a_percentile_is_never_too_short_and_at_most_two_percent_too_long(values: list[float], percent: float) -> None:
    """Beside the exact one of the same values."""
    exact, told = percentile(values, percent), histogram(values).percentile(percent)
    assert told is not None
    assert histogram(values).percentile(100) == max(values)
    assert exact * (1 - 1e-9) <= told <= exact * 1.02 * (1 + 1e-9)


@given(LATENCIES, LATENCIES)
def test_two_histograms_merged_are_one_of_both(first: list[float], second: list[float]) -> None:
    """Minutes can be added up to a day, also after they were written down."""
    merged = histogram(first)
    merged.merge(msgspec.json.decode(msgspec.json.encode(histogram(second)), type=Histogram))
    assert merged == histogram(first + second)
    assert merged.count == len(first) + len(second)


def test_no_latencies_have_no_percentile() -> None:
    """A minute in which nothing was answered is a gap, and not zero."""
    assert Histogram().percentile(99) is None


def test_many_latencies_need_few_buckets() -> None:
    """A day of searches fits into some kilobytes."""
    spread = histogram([1e-4 * 1.0005**number for number in range(25_000)])
    assert spread.count == 25_000
    assert len(spread.buckets) < 700


def noise(count: int, *, seed: int, alike: float = 0.0) -> list[float]:
    """A series without a trend, each value as near to the one before as asked."""
    dice = random.Random(seed)
    values = [dice.gauss(0, 1)]
    for _ in range(count - 1):
        values.append(alike * values[-1] + dice.gauss(0, 1))
    return values


def test_a_line_has_its_slope_and_no_doubt() -> None:
    """Exactly, whatever the distances of its points."""
    times = [0.0, 1.0, 1.5, 4.0, 5.0, 6.0, 6.5, 8.0, 9.0, 12.0]
    found = trend(times, [3.0 * at + 7.0 for at in times])
    assert found is not None
    assert (found.slope, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_an_outlier_does_not_move_the_slope() -> None:
    """A merge of segments that takes a gigabyte for a moment is no leak."""
    times = [float(number) for number in range(50)]
    values = [0.5 * at for at in times]
    values[10], values[45] = 1e6, -1e6
    found = trend(times, values)
    assert found is not None
    assert found.slope == pytest.approx(0.5)


@pytest.mark.parametrize("alike", [0.0, 0.6])
def test_the_interval_holds_the_true_slope_nearly_always(alike: float) -> None:
    """In 95 of 100 series, also where values that follow each other are alike."""
    times = [float(number) for number in range(60)]
    held = []
    for seed in range(200):
        found = trend(
            times, [0.2 * at + rest for at, rest in zip(times, noise(60, seed=seed, alike=alike), strict=True)]
        )
        assert found is not None
        held.append(found.low <= 0.2 <= found.high)
    assert fmean(held) >= 0.9


def test_a_few_points_have_no_trend() -> None:
    """Nobody can tell from them."""
    few = [float(number) for number in range(LEAST_POINTS - 1)]
    assert trend(few, few) is None
