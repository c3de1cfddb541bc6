from hypothesis import given
from hypothesis import strategies as st

from infra.supervisor.backoff import Backoff


def test_each_failure_doubles_the_wait_up_to_the_longest() -> None:
    """With the dice at their highest, the steps are plain to see."""
    backoff = Backoff(first=0.5, longest=3.0)
    assert [backoff.delay(failures, lambda: 1.0) for failures in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@given(failures=st.integers(1, 10**9), chance=st.floats(0.0, 1.0, exclude_max=True))
def test_a_wait_is_between_half_the_step_and_the_step(failures: int, chance: float) -> None:
    """However many failures there were, a crash loop stays slow and bounded."""
    backoff = Backoff()
    step = backoff.delay(failures, lambda: 1.0)
    assert step / 2 <= backoff.delay(failures, lambda: chance) <= step <= backoff.longest
