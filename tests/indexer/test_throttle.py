"""How much of its time an indexer may work."""

import pytest

from indexer.throttle import Throttle


@pytest.mark.parametrize(("share", "rests"), [(1.0, 0.0), (0.5, 2.0), (0.25, 6.0)])
def test_it_rests_for_the_other_part_of_its_time(share: float, rests: float) -> None:
    """Two seconds of work are that share of work and rest."""
    assert Throttle(share).rest_after(2.0) == pytest.approx(rests)


def test_it_is_loosened_up_to_all_of_its_time() -> None:
    """Twice as much each time."""
    throttle = Throttle(0.3)
    shares = []
    for _ in range(3):
        throttle.loosen()
        shares.append(throttle.share)
    assert shares == [0.6, 1.0, 1.0]
