"""The breaker's state machine against a plain model, and each of its rules by itself."""

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from api.backends.breaker import Breaker, BreakerReport, BreakerRules, BreakerState, Permit, Verdict
from api.errors import BreakerOpen

RULES = BreakerRules(
    0.6, window_calls=6, window_seconds=10.0, minimum_calls=3, reset_seconds=1.0, longest_reset_seconds=4.0, jitter=0.0
)
EXACT = 1 / 8
"""Times are multiples of it, so that sums of floating point numbers are exact."""
VERDICTS = st.sampled_from(["ok", "ok", "slow", "failed", "failed", "void"])


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Model:
    """The same breaker, told as a history: what happened since the last change decides everything."""

    def __init__(self) -> None:
        self.state: BreakerState = "closed"
        self.forced = False
        self.pauses = 0
        self.until = 0.0
        self.calls: list[tuple[float, Verdict]] = []
        self.under_way: set[int] = set()

    def change(self, state: BreakerState) -> None:
        """Go into a state: calls of the one before count no more."""
        self.state = state
        self.under_way = set()
        self.calls = self.calls if state == "open" else []

    def trip(self, now: float) -> None:
        """Open for 1, 2, 4, 4 … seconds."""
        self.until = now + min(2**self.pauses, 4)
        self.pauses += 1
        self.change("open")

    def heal(self) -> None:
        """Close."""
        self.pauses = 0
        self.forced = False
        self.change("closed")

    def admits(self, now: float) -> bool:
        """Whether a call may begin."""
        if self.state == "open":
            return not self.forced and now >= self.until
        return self.state == "closed" or not self.under_way

    def judge(self, now: float, verdict: Verdict) -> None:
        """A call of this state ended."""
        if verdict == "void":
            return
        if self.state == "half-open":
            self.heal() if verdict == "ok" else self.trip(now)
            return
        self.calls.append((now, verdict))
        recent = [said for ended, said in self.calls[-6:] if now - ended < 10]
        bad = [said for said in recent if said != "ok"]
        failed = [said for said in recent if said == "failed"]
        if len(recent) >= 3 and (2 * len(failed) >= len(recent) or 5 * len(bad) >= 4 * len(recent)):
            self.trip(now)


class BreakerMachine(RuleBasedStateMachine):
    """Drives both with the same calls."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(RULES, clock=self.clock, chance=lambda: 0.5)
        self.model = Model()
        self.number = 0

    @rule(target=permits)
    def begin(self) -> tuple[int, Permit] | None:
        """A call wants to begin, and goes on for a while."""
        return self._begin()

    @rule(call=consumes(permits), verdict=VERDICTS)
    def end(self, call: tuple[int, Permit] | None, verdict: Verdict) -> None:
        """A call ends, perhaps long after the breaker changed."""
        self._end(call, verdict)

    @rule(verdicts=st.lists(VERDICTS, min_size=1, max_size=6))
    def run(self, verdicts: list[Verdict]) -> None:
        """Calls that begin and end one after the other."""
        for verdict in verdicts:
            self._end(self._begin(), verdict)

    @rule(steps=st.sampled_from([1, 8, 20, 32, 60, 90]))
    def wait(self, steps: int) -> None:
        """Time passes."""
        self.clock.now += steps * EXACT

    @precondition(lambda self: self.number % 7 == 6)
    @rule()
    def force(self) -> None:
        """An operator opens it, which is rare."""
        self.breaker.force_open()
        self.model.forced = True
        self.model.change("open")

    @precondition(lambda self: self.model.forced or self.number % 7 == 6)
    @rule()
    def reset(self) -> None:
        """An operator resets it."""
        self.breaker.reset()
        self.model.heal()

    @invariant()
    def agree(self) -> None:
        """Both are in one state."""
        report = self.breaker.report()
        assert (report.state, report.forced) == (self.model.state, self.model.forced)

    def _begin(self) -> tuple[int, Permit] | None:
        admitted = self.model.admits(self.clock.now)
        if self.model.state == "open" and admitted:
            self.model.change("half-open")
        if not admitted:
            with pytest.raises(BreakerOpen):
                self.breaker.admit()
            return None
        self.number += 1
        self.model.under_way.add(self.number)
        return self.number, self.breaker.admit()

    def _end(self, call: tuple[int, Permit] | None, verdict: Verdict) -> None:
        if call is None:
            return
        number, permit = call
        self.breaker.record(permit, verdict)
        if number in self.model.under_way:
            self.model.under_way.discard(number)
            self.model.judge(self.clock.now, verdict)


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def _tripped(clock: Clock, **rules: float) -> Breaker:
    breaker = Breaker(BreakerRules(0.6, **rules), clock=clock, chance=lambda: 0.0)  # type: ignore[arg-type] # floats
    for _ in range(10):
        breaker.record(breaker.admit(), "failed", "it is away")
    return breaker


def _pause(breaker: Breaker, clock: Clock) -> float:
    """Seconds until a probe may pass, which then fails."""
    pause = (breaker.report().retry_after_ms or 0) / 1000
    clock.now += pause
    breaker.record(breaker.admit(), "failed", "it is away")
    return pause


def test_one_probe_at_a_time() -> None:
    """Of many callers after the pause, one finds out; the others are refused until it has."""
    clock = Clock()
    breaker = _tripped(clock)
    clock.now += 1.0
    probe = breaker.admit()
    for _ in range(50):
        with pytest.raises(BreakerOpen, match="a probe is under way"):
            breaker.admit()
    breaker.record(probe, "void")  # its client went away: the next one finds out
    breaker.record(breaker.admit(), "ok")
    assert [breaker.admit().era for _ in range(3)] == [breaker.admit().era] * 3


def test_pauses_double_up_to_the_longest() -> None:
    """A backend that stays away is asked ever more rarely, but never more rarely than the rules say."""
    clock = Clock()
    breaker = _tripped(clock)
    assert [_pause(breaker, clock) for _ in range(5)] == [1.0, 2.0, 4.0, 6.0, 6.0]


@pytest.mark.parametrize("chance", [0.0, 0.4, 0.999])
def test_jitter_only_shortens(chance: float) -> None:
    """A pause may be a quarter shorter, so that workers do not probe in step, and is never longer."""
    clock = Clock()
    drawn: Callable[[], float] = lambda: chance  # noqa: E731 - the shortest form of a constant
    breaker = Breaker(BreakerRules(0.6), clock=clock, chance=drawn)
    for _ in range(10):
        breaker.record(breaker.admit(), "failed")
    assert breaker.report().retry_after_ms == round(1000 * (1 - 0.25 * chance))


def test_a_call_of_an_earlier_state_is_not_judged() -> None:
    """What began before the breaker opened says nothing about the backend after it closed."""
    clock = Clock()
    breaker = Breaker(BreakerRules(0.6), clock=clock)
    old = [breaker.admit() for _ in range(20)]
    breaker.reset()
    for permit in old:
        breaker.record(permit, "failed")
    assert breaker.report() == BreakerReport("closed")


def test_a_call_that_says_nothing_is_not_counted() -> None:
    """Neither for the backend nor against it."""
    breaker = Breaker(BreakerRules(0.6), clock=Clock())
    for _ in range(20):
        breaker.record(breaker.admit(), "void")
    assert breaker.report() == BreakerReport("closed")


def test_failures_of_long_ago_do_not_count() -> None:
    """Nine failures today and one tomorrow are no reason to open."""
    clock = Clock()
    breaker = Breaker(BreakerRules(0.6), clock=clock)
    for _ in range(9):
        breaker.record(breaker.admit(), "failed")
    clock.now += 60.0
    breaker.record(breaker.admit(), "failed")
    assert (breaker.report().state, breaker.report().calls) == ("closed", 1)


def test_slow_calls_open_it() -> None:
    """Calls that all come back, but late, are as bad."""
    clock = Clock()
    breaker = Breaker(BreakerRules(0.6), clock=clock)
    for _ in range(10):
        permit = breaker.admit()
        clock.now += 0.6
        breaker.record(permit, "slow" if breaker.is_slow(permit) else "ok")
    assert breaker.report().state == "open"


def test_it_tells_why_it_is_open() -> None:
    """Who is refused reads what went wrong last."""
    with pytest.raises(BreakerOpen, match="it is away"):
        _tripped(Clock()).admit()
