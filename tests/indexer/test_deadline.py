"""A deadline is a point in time."""

import pytest

from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded


def test_a_deadline_counts_down_and_passes() -> None:
    """What is left shrinks to zero and not below, and the check stops at the very moment."""
    now = 100.0
    deadline = Deadline.after(2.0, lambda: now)
    assert deadline.remaining() == 2.0
    deadline.check()
    now = 101.5
    assert deadline.remaining() == 0.5
    deadline.check()
    now = 102.0
    assert deadline.remaining() == 0.0
    with pytest.raises(DeadlineExceeded):
        deadline.check()
    now = 200.0
    assert deadline.remaining() == 0.0


def test_a_deadline_of_nothing_has_passed() -> None:
    """Zero seconds are no seconds."""
    with pytest.raises(DeadlineExceeded):
        Deadline.after(0.0, lambda: 5.0).check()
