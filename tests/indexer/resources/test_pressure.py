"""The verdict on memory: two lines, each with a margin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.resources.pressure import HARD, MARGIN, SOFT, Pressure, pressure_after

FRACTIONS = st.floats(0, 2, allow_nan=False)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([0.69], Pressure.NONE),
        ([0.70], Pressure.SOFT),
        ([0.85], Pressure.HARD),
        ([0.85, 0.81], Pressure.HARD),
        ([0.85, 0.79], Pressure.SOFT),
        ([0.75, 0.66], Pressure.SOFT),
        ([0.75, 0.64], Pressure.NONE),
        ([0.90, 0.66], Pressure.SOFT),
        ([0.90, 0.10], Pressure.NONE),
        ([0.10, 0.99], Pressure.HARD),
    ],
)
def test_lines_are_crossed_upwards_and_left_further_down(readings: list[float], expected: Pressure) -> None:
    """A line counts as left only once the reading is below it by the margin."""
    pressure = Pressure.NONE
    for fraction in readings:
        pressure = pressure_after(pressure, fraction)
    assert pressure is expected


@given(st.sampled_from(Pressure), FRACTIONS)
def test_the_same_reading_never_changes_a_verdict_twice(before: Pressure, fraction: float) -> None:
    """A verdict stands until the memory changes."""
    once = pressure_after(before, fraction)
    assert pressure_after(once, fraction) is once


@given(st.sampled_from(Pressure), FRACTIONS, FRACTIONS)
def test_more_memory_is_never_less_pressure(before: Pressure, one: float, other: float) -> None:
    """The verdict grows with the reading."""
    less, more = sorted((one, other))
    assert pressure_after(before, less) <= pressure_after(before, more)


@given(st.lists(st.floats(HARD - MARGIN, HARD, exclude_max=True), min_size=1), st.sampled_from((HARD, SOFT)))
def test_a_reading_that_wavers_below_the_hard_line_changes_nothing(wavering: list[float], first: float) -> None:
    """Within the margin the verdict is whatever it was."""
    verdict = pressure_after(Pressure.NONE, first)
    pressure = verdict
    for fraction in wavering:
        pressure = pressure_after(pressure, fraction)
    assert pressure is verdict
