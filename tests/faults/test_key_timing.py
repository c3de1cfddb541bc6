"""Whether the time of a refusal tells which prefixes of keys there are; the steps are compared in another test."""

import time
from pathlib import Path
from statistics import median

import pytest

from api.access.keys import KeyList, KeyRing, make_key, utc_now, write_keys
from api.access.scopes import Scope

pytestmark = pytest.mark.faults

ROUNDS = 9
GUESSES = 10_000
MOST = 0.05


def difference(ring: KeyRing, known: str) -> float:
    """By how much the medians of both differ, as a share; one after the other, so that both see the same machine."""
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    for _ in range(GUESSES // 2):
        prefix, _, secret = make_key("guess", frozenset({Scope.READ}), None, utc_now())[1].partition(".")
        for name, presented in (("known", f"{known}.{secret}"), ("unknown", f"{prefix}.{secret}")):
            began = time.perf_counter_ns()
            found = ring.find(presented)
            seconds[name].append(time.perf_counter_ns() - began)
            assert found is None
    medians = [median(each) for each in seconds.values()]
    return abs(medians[0] - medians[1]) / max(medians)


def test_the_medians_of_known_and_unknown_prefixes_differ_by_less_than_a_twentieth(tmp_path: Path) -> None:
    """90,000 random keys open nothing. What another program does to a round is no sign; a real one is in each round."""
    kept, _ = make_key("test", frozenset({Scope.READ}), None, utc_now())
    write_keys(tmp_path / "keys", KeyList((kept,)))
    ring = KeyRing(tmp_path / "keys", clock=time.monotonic)
    assert min(difference(ring, kept.prefix) for _ in range(ROUNDS)) < MOST
