"""A circuit breaker: stops calling what keeps failing, and lets one call at a time find out whether it is back.

The state machine is pure: time and chance are handed in, nothing is read or written, and a call is judged by whoever
made it. The pattern is Michael Nygard's (Release It!, 2nd edition, chapter 5).
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Literal

import msgspec

from api.errors import BreakerOpen
from indexer.deadline import Clock

BreakerState = Literal["closed", "open", "half-open"]
Verdict = Literal["ok", "slow", "failed", "void"]
"""What a call says about its backend; `void` is nothing: the client went away, or the query was bad."""


class BreakerRules(msgspec.Struct, frozen=True):
    """When to open, and for how long.

    Attributes:
        slow_seconds: a call that takes this long is slow.
        window_calls: how many of the last calls are judged,
        window_seconds: as far as they ended no longer ago than this,
        minimum_calls: and only if there are this many.
        failure_share: open when this part of them failed,
        slow_share: or when this part was slow or failed.
        reset_seconds: the first pause after which a probe may find out; each failed probe doubles it,
        longest_reset_seconds: up to this.
        jitter: each pause is shorter by chance, by up to this part, so that workers do not probe in step.
    """

    slow_seconds: float
    window_calls: int = 20
    window_seconds: float = 60.0
    minimum_calls: int = 10
    failure_share: float = 0.5
    slow_share: float = 0.8
    reset_seconds: float = 1.0
    longest_reset_seconds: float = 6.0
    jitter: float = 0.25


class Permit(msgspec.Struct, frozen=True):
    """Leave for one call, to be handed back with a verdict.

    Attributes:
        era: the state's number; a call that ends in a later state is not judged any more.
        began: reading of the breaker's clock.
    """

    era: int
    began: float


class BreakerReport(msgspec.Struct, frozen=True):
    """What a breaker knows.

    Attributes:
        state: closed lets every call pass, open none, half-open one at a time.
        forced: an operator keeps it open.
        calls: calls in the window.
        failed: those of them that failed.
        slow: those of them that were slow.
        retry_after_ms: milliseconds until a probe may pass; null unless it waits for that.
        reason: why the last call failed, while it is not closed.
    """

    state: BreakerState
    forced: bool = False
    calls: int = 0
    failed: int = 0
    slow: int = 0
    retry_after_ms: int | None = None
    reason: str | None = None


class Breaker:
    """The breaker of one backend, for one event loop.

    Args:
        rules: when to open, and for how long.
        clock: a monotonic clock.
        chance: a number from 0 up to 1, for the jitter.
        changed: is told every new state.
    """

    def __init__(
        self,
        rules: BreakerRules,
        *,
        clock: Clock = time.monotonic,
        chance: Callable[[], float] = random.random,
        changed: Callable[[BreakerState], None] = lambda _: None,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._chance = chance
        self._changed = changed
        self._state: BreakerState = "closed"
        self._era = 0
        self._window: deque[tuple[float, Verdict]] = deque(maxlen=rules.window_calls)
        self._openings = 0
        self._retry_at = 0.0
        self._forced = False
        self._probing = False
        self._reason = ""

    def admit(self) -> Permit:
        """Leave for one call, which must be handed back to `record` however the call ends.

        Raises:
            BreakerOpen: the backend must not be called now.
        """
        now = self._clock()
        if self._state == "open" and not self._forced and now >= self._retry_at:
            self._enter("half-open")
        if self._state == "open" or self._probing:
            raise BreakerOpen(self._refusal())
        self._probing = self._state == "half-open"
        return Permit(self._era, now)

    def record(self, permit: Permit, verdict: Verdict, reason: str = "") -> None:
        """Judge the backend by how a call ended.

        Args:
            permit: of the call.
            verdict: what it says about the backend.
            reason: why it failed.
        """
        if permit.era != self._era:
            return
        self._probing = False
        if verdict == "void":
            return
        self._reason = reason or self._reason
        if self._state == "half-open":
            self._close() if verdict == "ok" else self._open()
            return
        self._window.append((self._clock(), verdict))
        if self._is_bad():
            self._open()

    def is_slow(self, permit: Permit) -> bool:
        """Whether a call takes, or took, longer than a good one."""
        return self._clock() - permit.began >= self._rules.slow_seconds

    def force_open(self) -> None:
        """Keep it open until `reset`."""
        self._forced = True
        self._reason = "an operator opened it"
        self._enter("open")

    def reset(self) -> None:
        """Close it, and forget what led here."""
        self._close()

    def report(self) -> BreakerReport:
        """The state now."""
        counts = self._counts()
        waits = self._state == "open" and not self._forced
        return BreakerReport(
            state=self._state,
            forced=self._forced,
            calls=counts.total(),
            failed=counts["failed"],
            slow=counts["slow"],
            retry_after_ms=round(1000 * max(0.0, self._retry_at - self._clock())) if waits else None,
            reason=self._reason or None,
        )

    def _counts(self) -> Counter[Verdict]:
        oldest = self._clock() - self._rules.window_seconds
        return Counter(verdict for ended, verdict in self._window if ended > oldest)

    def _is_bad(self) -> bool:
        counts = self._counts()
        calls = counts.total()
        if calls < self._rules.minimum_calls:
            return False
        return (
            counts["failed"] >= self._rules.failure_share * calls
            or counts["failed"] + counts["slow"] >= self._rules.slow_share * calls
        )

    def _open(self) -> None:
        pause = min(self._rules.reset_seconds * 2.0**self._openings, self._rules.longest_reset_seconds)
        if pause < self._rules.longest_reset_seconds:
            self._openings += 1
        self._retry_at = self._clock() + pause * (1 - self._rules.jitter * self._chance())
        self._enter("open")

    def _close(self) -> None:
        self._openings = 0
        self._forced = False
        self._reason = ""
        self._window.clear()
        self._enter("closed")

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._era += 1
        self._probing = False
        self._changed(state)

    def _refusal(self) -> str:
        rule = "a probe is under way" if self._probing else "it is not called for now"
        return f"the circuit breaker is {self._state}, {rule}: {self._reason or 'too many slow calls'}"
