"""Indexers lose nothing, take nothing in twice and heal, whatever happens to them: some of many histories."""

from typing import Any

import pytest

from indexer.feed import Feed
from tests.indexer.simulation.world import simulate

SEEDS = 20


def all_histories(*, shared: bool) -> None:
    """One after the other."""
    for seed in range(SEEDS):
        simulate(seed, shared=shared)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_histories(seed: int, *, shared: bool) -> None:
    """The long form is experiment 20."""
    simulate(seed, shared=shared)


def test_a_seed_always_tells_the_same() -> None:
    """Or nobody could look into what it found: each event is drawn from the same numbers as all that led to it."""
    assert simulate(1, shared=True) == simulate(1, shared=True)


def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what makes the feed refuse records that it has given before, they are indexed twice."""

    def advance(feed: Feed, record: Any) -> None:
        feed._next[record.partition] = record.offset + 1

    monkeypatch.setattr(Feed, "_advance", advance)
    with pytest.raises(AssertionError, match="was indexed before"):
        all_histories(shared=False)
