"""How long a search may go on: it stops early enough to rank what it has found, and to answer with it in time.

RE2 cannot be interrupted, so the time that a call takes is bounded before it begins: at worst it is proportional to
the bytes that it reads times the instructions of the compiled regex.
"""

from typing import Final

from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded

SECONDS_PER_STEP: Final = 4e-9
"""Of RE2 at its slowest, when its automaton does not fit its memory; measured. A step: one instruction at one byte."""

_RANKING_SHARE: Final = 0.2
_ANSWER_SHARE: Final = 0.1
"""Of the time that is left when a search begins; kept for the way back to whoever waits."""


class TimeBudget:
    """The time of one search.

    Args:
        deadline: of the search.

    Attributes:
        cut_short: whether something was left out for lack of time.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._seconds = deadline.remaining()
        self._kept_seconds = _RANKING_SHARE * self._seconds
        self.cut_short = False

    def runs_out(self) -> bool:
        """Whether the time for this phase is up; something is left out then, and the search is cut short."""
        if self._deadline.remaining() > self._kept_seconds:
            return False
        self.cut_short = True
        return True

    def spend(self, steps: int) -> None:
        """Ask for the time of so many steps of RE2.

        Raises:
            DeadlineExceeded: at their slowest, they would take longer than what is left.
        """
        if self._deadline.remaining() <= self._kept_seconds + steps * SECONDS_PER_STEP:
            raise DeadlineExceeded("the deadline would pass within a document")

    def begin_ranking(self) -> None:
        """Release the time that was kept for ranking."""
        self._kept_seconds = _ANSWER_SHARE * self._seconds
