"""How the time of a search is split among the methods that are asked."""

from api.searching.fanout import Fanout
from indexer.backend import Answer
from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded
from indexer.filtering import EVERYTHING, Filter
from tests.api.fakes import FakeBackend


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class HungBackend(FakeBackend):
    """Uses up the time it is given, and notes how much that was."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(("a", 1.0))
        self._clock = clock
        self.given = 0.0

    async def newest(self, limit: int, deadline: Deadline, only: Filter = EVERYTHING) -> Answer:
        """Never in time."""
        del limit, only
        self.given = deadline.remaining()
        self._clock.now += self.given
        raise DeadlineExceeded("the deadline passed")


async def test_the_first_method_asked_for_the_newest_has_half_of_the_time() -> None:
    """And each one after it half of the rest: a busy machine gets an answer, and one that hangs is passed by."""
    clock = Clock()
    backends = {name: HungBackend(clock) for name in ("bm25", "tantivy", "native", "semantic")}
    outcomes = await Fanout({}, clock=clock).first_newest(backends, 10, Deadline.after(0.8, clock))
    assert [round(backend.given, 6) for backend in backends.values()] == [0.4, 0.2, 0.1, 0.1]
    assert [outcome.status for outcome in outcomes.values()] == ["timeout"] * 4
