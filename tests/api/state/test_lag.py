"""Whether an index that lags moves."""

from api.state.lag import LagWatch


class Watched:
    """An index as a watch sees it while time passes."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._watch = LagWatch(lambda: self.now)

    def look(
        self, read: dict[int, int], left: dict[int, int] | None, *, index: str = "bm25", generation: str = "g000001"
    ) -> float:
        """For how long it has stood still."""
        return self._watch.stalled_seconds(index, generation, read, left)


def test_time_counts_while_offsets_are_left_and_the_position_stands() -> None:
    """From the look that saw both first."""
    watched = Watched()
    assert watched.look({0: 5}, {0: 3}) == 0
    watched.now += 40
    assert watched.look({0: 5}, {0: 9}) == 40
    watched.now += 40
    assert watched.look({0: 5}, {0: 9}) == 80


def test_a_step_begins_anew() -> None:
    """However small it is."""
    watched = Watched()
    watched.look({0: 5}, {0: 3})
    watched.now += 40
    assert watched.look({0: 6}, {0: 2}) == 0
    watched.now += 1
    assert watched.look({0: 6}, {0: 2}) == 1


def test_an_index_that_has_read_everything_may_stand() -> None:
    """And when something comes after a long time, it has not stalled yet."""
    watched = Watched()
    watched.look({0: 5}, {0: 0})
    watched.now += 4_000
    assert watched.look({0: 5}, {0: 0}) == 0
    watched.now += 4_000
    assert watched.look({0: 5}, {0: 1}) == 0


def test_one_partition_that_stands_is_enough() -> None:
    """While the others move."""
    watched = Watched()
    watched.look({0: 5, 1: 5}, {0: 3, 1: 3})
    watched.now += 30
    assert watched.look({0: 6, 1: 5}, {0: 2, 1: 3}) == 30
    assert watched.look({0: 6}, {0: 2}, index="native") == 0
    watched.now += 30
    assert watched.look({0: 8, 1: 5}, {0: 0, 1: 3}) == 60


def test_without_kafka_nobody_knows() -> None:
    """Time without it does not count: nothing could be read."""
    watched = Watched()
    watched.look({0: 5}, {0: 3})
    watched.now += 300
    assert watched.look({0: 5}, None) == 0
    assert watched.look({0: 5}, {0: 3}) == 0


def test_another_generation_is_another_index() -> None:
    """It begins to read when it is made."""
    watched = Watched()
    watched.look({0: 5}, {0: 3})
    watched.now += 300
    assert watched.look({0: 5}, {0: 3}, generation="g000002") == 0
