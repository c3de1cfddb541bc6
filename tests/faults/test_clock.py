"""The time of day jumps by an hour and by a day under load, in the API and the indexers."""

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from infra.setup.artifacts import Artifacts
from streams.settings import METHODS
from tests.api.state.test_metrics import Samples, parse
from tests.faults.clock import JumpingClock
from tests.faults.corpus import documents, searches
from tests.faults.figures import experiment
from tests.faults.load import History, load
from tests.faults.system import System
from tests.faults.test_kafka import caught_up
from tests.faults.test_kills import faulty, settings_of

HOUR: Final = 3_600
JUMPS: Final = [ahead for jump in (HOUR, -HOUR, 24 * HOUR, -24 * HOUR) for ahead in (jump, 0)]
"""Where the clock is after each jump, seconds before the machine's: there, and back."""

STAYS_SECONDS = 10.0
FAULTY_SECONDS = 2.0
BREAKS = "bm25"
RATE = 60
ADMITTED_RATE = 30
BURST = 2 * ADMITTED_RATE
WINDOW_SECONDS = 5.0
PUBLISHED_PER_SECOND = 3
LOCKED_OUT_SECONDS = 5.0
STUCK_SECONDS = 60.0
CLIENT = {"x-forwarded-for": "10.0.0.9"}
PUBLISHER = {"x-forwarded-for": "10.0.0.2"}
US = {"x-forwarded-for": "10.0.0.1"}


@pytest.fixture(scope="module")
def clock(service_directory: Path) -> JumpingClock:
    """The clock of a system."""
    return JumpingClock(service_directory / "clock")


@pytest.fixture(scope="module")
def jumping(artifacts: Artifacts, service_directory: Path, clock: JumpingClock) -> Iterator[System]:
    """A system that follows the clock, and lets each client search at a rate."""
    settings = {
        **clock.environment,
        "EMBED_SEARCH_ADDRESS_RATE": str(ADMITTED_RATE),
        "EMBED_SEARCH_TRUSTED_PROXIES": "127.0.0.0/8",
    }
    system = System(service_directory / "jumping", artifacts, settings)
    system.http.headers.update(US)
    with system.running():
        yield system


@pytest.mark.timeout(500)
def test_the_clock_jumps(jumping: System, clock: JumpingClock) -> None:
    """Breakers, limits and latencies go by a clock that does not jump, and indexes by none at all."""
    bodies = searches(50)
    published = [json.dumps(document) for document in documents(50_000, 2_000)]
    times: list[Samples] = [measured(jumping)]
    healed_in, negative, ended = [], 0, 0
    with (
        load([jumping.port], bodies, rate=RATE, seconds=400, headers=CLIENT) as searching,
        load(
            [jumping.port], published, rate=PUBLISHED_PER_SECOND, seconds=400, path="/documents", headers=PUBLISHER
        ) as writing,
    ):
        for ahead in JUMPS:
            jumping.fault(BREAKS, "fail")
            jumping.wait_until(partial(is_open, jumping), "the breaker opens", 30)
            clock.set_ahead(ahead)
            time.sleep(FAULTY_SECONDS)
            jumping.fault(BREAKS, "")
            healed_in.append(jumping.wait_until(jumping.complete, "all methods answer", 120))
            negative += negative_times(jumping)
            time.sleep(STAYS_SECONDS - FAULTY_SECONDS)
            times.append(measured(jumping))
            ended += start_those_that_ended(jumping)
        seen, wrote = searching.stop(), writing.stop()
    jumping.wait_until(lambda: caught_up(jumping), "the indexes have read everything")
    wrong = asyncio.run(faulty(settings_of(jumping)))
    accepted = [50_000 + one.number for one in wrote.seen if one.status == 202]
    lost = [number for number in accepted if not found(jumping, number)]
    failed = seen.where(lambda one: one.status not in (200, 429))
    with experiment(f"22 the clock jumps an hour and a day, there and back, under {RATE} searches/s") as figures:
        figures.exactly("searches neither answered nor limited", len(failed), 0, examples=failed.examples)
        figures.at_most("longest time until a breaker closed", max(healed_in), STUCK_SECONDS, "s")
        figures.at_most("longest time without a success", seen.longest_silence, LOCKED_OUT_SECONDS, "s")
        most = most_admitted(seen)
        allowed = 2 * ADMITTED_RATE * WINDOW_SECONDS
        figures.at_most(f"most searches admitted in {WINDOW_SECONDS:.0f} s, the burst apart", most - BURST, allowed)
        figures.at_least("searches refused by the limit", seen.outcomes["429"], 1)
        figures.exactly("negative times in answers and metrics", negative + falling(times), 0)
        refused = wrote.where(lambda one: one.status != 202)
        figures.exactly("failed publications", len(refused), 0, examples=refused.examples)
        figures.exactly(f"of {len(accepted)} acknowledged documents lost", len(lost), 0)
        figures.exactly("indexers that ended", ended, 0, examples=last_words(jumping))
        for name, differing in wrong.items():
            what = f"documents other than in the topic, in {name}"
            figures.exactly(what, len(differing), 0, examples=differing[:3])


def is_open(system: System) -> bool:
    """Whether a search finds the breaker open."""
    answer = system.http.post("/search", json={"query": "document"})
    return answer.status_code == 200 and answer.json()["backends"][BREAKS]["status"] == "open"


def measured(system: System) -> Samples:
    """What was counted and timed so far."""
    return parse(system.http.get("/metrics", headers={"x-forwarded-for": "10.0.0.3"}).text)


def negative_times(system: System) -> int:
    """How many times of an answer are below zero."""
    answer = system.search(timeout_ms=5_000)
    times = [answer["duration_ms"], *(method["took_ms"] or 0 for method in answer["backends"].values())]
    return sum(one < 0 for one in times)


def falling(times: list[Samples]) -> int:
    """How many sums of times are below zero, or below what they were before."""
    return sum(
        value < earlier.get(key, 0.0)
        for earlier, later in zip([{}, *times], times, strict=False)
        for key, value in later.items()
        if key[0].endswith("_seconds_sum")
    ) + sum(value < 0 for one in times for key, value in one.items() if key[0].endswith("_seconds"))


def most_admitted(seen: History) -> int:
    """The most searches of the client in any window that were not refused by the limit."""
    admitted = [one.due for one in seen.seen if one.status != 429]
    first, most = 0, 0
    for last, due in enumerate(admitted):
        while due - admitted[first] > WINDOW_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most


def start_those_that_ended(system: System) -> int:
    """Do what a supervisor does; gives how many indexers had ended."""
    ended = [name for name in METHODS if not system.programs[name].running]
    for name in ended:
        system.stop(name)
        system.start(name)
    return len(ended)


def found(system: System, number: int) -> bool:
    """Whether a document is there; asked as whoever is not limited yet."""
    answer = system.http.get(f"/documents/doc/{number}", headers={"x-forwarded-for": f"10.1.{number % 250}.1"})
    return answer.status_code == 200


def last_words(system: System) -> list[str]:
    """What indexers said last."""
    return [
        f"{name}: {(system.folder / f'{name}.log').read_text(errors='replace').strip().splitlines()[-1:]}"
        for name in METHODS
    ]
