"""What a soak is held against, and what it says of the samples."""

import os
import shutil
import socket
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infra.bench.errors import BenchFailed
from infra.bench.machine import Machine
from infra.bench.soak.ab import AbFigures, find_ab, read_output
from infra.bench.soak.bursts import Burst, highest, search_highest
from infra.bench.soak.client import Outcome, Span
from infra.bench.soak.criteria import Criterion, Results, judge, passes
from infra.bench.soak.findings import Drift, Findings, find
from infra.bench.soak.histogram import Histogram
from infra.bench.soak.plan import AFTER, BEFORE, BURSTS, OPENING, STEADY, SoakPlan
from infra.bench.soak.plots import draw
from infra.bench.soak.processes import ProcessTable, Usage
from infra.bench.soak.report import Circumstances, render, told_seconds
from infra.bench.soak.sampling import LagWatch, Sample, at_rest, lag_of
from infra.bench.soak.trend import Trend

DAY = SoakPlan(86_400, 100, 5, 100_000, 100, 10)
AB = AbFigures("ab -n 100000 -c 100 URL", 100_000, 0, 99_000, 900.0, 111.0, {50: 100, 99: 180, 100: 250})
CIRCUMSTANCES = Circumstances(Machine("a|b", 2, "Linux", "3.11"), "0.1.0", datetime(2026, 1, 2, tzinfo=UTC), 0.5)
FLAT = Drift(Trend(1e5, -2e5, 4e5), 1.0, 0.0, 1)


def outcome(
    *, rate: float = 100, seconds: float = 600, p99: float = 0.05, failed: int = 0, partial: int = 0
) -> Outcome:
    """What became of a load."""
    sent = round(rate * seconds)
    latencies = Histogram()
    for _ in range(100):
        latencies.add(p99)
    failures = Counter({"status 503": failed} if failed else {})
    return Outcome(sent, sent - failed, partial, failures, [], latencies, seconds)


def findings(**other: object) -> Findings:
    """Those of a run in which all was well."""
    well = Findings(
        700, 700, {}, 0, {"bm25": 1.2, "semantic": 3.0}, {"api 1": 4}, [], {"api 1": FLAT, "kafka 2": FLAT}, {}, []
    )
    return msgspec.structs.replace(well, **other)


def results(**other: object) -> Results:
    """Those of a run in which all was well."""
    bursts = [Burst(1_000, 1_000, 0.2, 0, 0, held=True)]
    well = Results(AB, outcome(), {"accepted": 3_000}, [], findings(), bursts, bursts)
    return msgspec.structs.replace(well, **other)


def missed(judged: list[Criterion]) -> list[tuple[str, str]]:
    """Names and verdicts of what does not hold."""
    return [(each.name, each.verdict) for each in judged if each.verdict != "holds"]


def test_a_day_in_which_all_was_well_passes() -> None:
    """Everything holds, the aims too."""
    judged = judge(DAY, results())
    assert missed(judged) == []
    assert passes(judged)
    assert [each.required for each in judged] == sorted((each.required for each in judged), reverse=True)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"failures": ["index-bm25 ended with status 1"]}, "services that ended or were restarted"),
        ({"findings": findings(gone=["api worker 7"])}, "processes of ours that were replaced"),
        ({"opening": msgspec.structs.replace(AB, failed=1)}, "ab: failed requests"),
        ({"opening": msgspec.structs.replace(AB, complete=99_999)}, "ab: failed requests"),
        ({"opening": msgspec.structs.replace(AB, percentiles={99: 1_000})}, "ab: p99"),
        ({"opening": msgspec.structs.replace(AB, rate=99.0)}, "ab: requests a second"),
        ({"steady": outcome(failed=1)}, "searches: failed"),
        ({"steady": outcome(partial=1)}, "searches: answers that lack a method"),
        ({"steady": outcome(rate=97)}, "searches: answered a second"),
        ({"changes": {"accepted": 10, "status 503": 1}}, "changes that were not accepted"),
        ({"changes": {}}, "changes that were not accepted"),
        ({"findings": findings(lag_p99={"semantic": 5.1})}, "lag of the slowest index, p99"),
        ({"findings": findings(healthy=699)}, "samples in which it was not healthy"),
        ({"findings": findings(drifts={"a 1": Drift(FLAT.memory, 6, 0, 0)})}, "open files"),
        ({"findings": findings(drifts={"a 1": Drift(FLAT.memory, 0, 6, 0)})}, "threads"),
        ({"findings": findings(drifts={"a 1": FLAT, "b 2": Drift(FLAT.memory, 0, 0, 6)})}, "files of indexes"),
        ({"findings": findings(kept={"a 1": 2, "b 2": 6})}, "sockets"),
        ({"findings": findings(drifts={"a 1": Drift(Trend(8e6, 6e6, 9e6), 0, 0, 0)})}, "growth of memory"),
    ],
)
def test_a_single_fault_fails_the_run_by_its_name(changed: dict[str, object], name: str) -> None:
    """No other criterion fails with it."""
    judged = judge(DAY, results(**changed))
    assert [(told[: len(name)], verdict) for told, verdict in missed(judged)] == [(name, "does not hold")]
    assert not passes(judged)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"opening": msgspec.structs.replace(AB, percentiles={})}, "ab: p99"),
        ({"findings": findings(lag_p99={})}, "lag of the slowest index, p99"),
        ({"findings": findings(kept={})}, "sockets of each process that are kept after the load"),
        ({"findings": findings(drifts={})}, "growth of memory, of each process"),
    ],
)
def test_what_was_not_measured_does_not_pass(changed: dict[str, object], name: str) -> None:
    """Nothing is taken for good because nobody looked."""
    judged = judge(DAY, results(**changed))
    assert missed(judged)[0] == (name, "cannot be judged")
    assert not passes(judged)


def test_a_missed_aim_is_named_and_does_not_fail_the_run() -> None:
    """Aims are where to go; what is required is where to be."""
    slow = [Burst(1_000, 700, 1.5, 0, 3, held=False), Burst(500, 500, 0.3, 0, 0, held=True)]
    judged = judge(DAY, results(cached=slow))
    assert missed(judged) == [("searches a second, cached queries", "does not hold")]
    assert passes(judged)


@pytest.mark.parametrize(
    ("plan", "memory"),
    [
        (msgspec.structs.replace(DAY, seconds=3_000), FLAT.memory),
        (DAY, Trend(1e6, -9e6, 9e6)),
        (DAY, None),
    ],
)
def test_memory_that_nobody_can_judge_does_not_pass(plan: SoakPlan, memory: Trend | None) -> None:
    """A run that is too short, or an interval that holds the limit."""
    judged = judge(plan, results(findings=findings(drifts={"api 1": Drift(memory, 0, 0, 0)})))
    assert missed(judged) == [("growth of memory, of each process", "cannot be judged")]
    assert not passes(judged)


def sample(at: float, phase: str = STEADY, **other: object) -> Sample:
    """One in which all is well."""
    processes = {"api 1": Usage(100_000_000, 40, 9, 12), "postgres 2": Usage(8_000_000, 20, 3, 1)}
    well = Sample(at, phase, "healthy", {}, {"bm25": 0.5}, processes)
    return msgspec.structs.replace(well, **other)


def test_samples_are_counted_but_for_those_of_the_bursts() -> None:
    """A burst goes over what the system can do, so its health and lag say nothing."""
    seen = [sample(at, OPENING if at < 10 else STEADY) for at in range(600)]
    seen[300] = sample(300, health="degraded", unhealthy={"semantic": "the deadline passed"}, lag={"bm25": 9.0})
    seen += [sample(at, BURSTS, health="degraded", lag={"bm25": 60.0}) for at in range(600, 620)]
    found = find(seen, seconds=620, warm_up=60)
    assert (found.samples, found.healthy, found.overloaded) == (600, 599, 20)
    assert found.reasons == {"semantic: the deadline passed": 1}
    assert found.lag_p99["bm25"] == pytest.approx(0.5, rel=0.03)


def test_a_system_is_at_rest_when_it_is_healthy_and_has_read_all() -> None:
    """Lag is the age of what was read last, but only while something is left to read."""

    def health(status: str, **left: int) -> dict[str, Any]:
        details = {name: {"details": {"lag": {"0": behind}, "lag_seconds": 9.0}} for name, behind in left.items()}
        return {"status": status, "components": details | {"kafka": {"details": {}}}}

    assert lag_of(health("healthy", bm25=0, semantic=3)) == {"bm25": 0.0, "semantic": 9.0}
    assert at_rest(health("healthy", bm25=0, semantic=0))
    assert not at_rest(health("healthy", bm25=0, semantic=1))
    assert not at_rest(health("degraded", bm25=0, semantic=0))
    assert not at_rest(health("healthy"))


def test_an_index_is_not_behind_by_the_time_that_nothing_came() -> None:
    """The first record after a quiet while is not as late as the one before it is old."""
    watch = LagWatch(level_at=-4.0)
    assert watch.at_most(0.0, {"bm25": 30.0}) == {"bm25": 4.0}
    assert watch.at_most(1.0, {"bm25": 0.0, "native": 4.5}) == {"bm25": 0.0, "native": 4.5}
    assert watch.at_most(2.0, {"bm25": 32.0, "native": 0.0}) == {"bm25": 1.0, "native": 0.0}
    assert watch.at_most(9.0, {"bm25": 39.0, "native": 0.5}) == {"bm25": 8.0, "native": 0.5}


def test_drifts_are_those_after_the_warm_up() -> None:
    """What a process grows by at first is no leak, and what it grows by afterwards is."""
    seen = []
    for at in range(3_600):
        memory = 5_000_000 * min(at, 600) + 2_000 * at
        files, sockets = (40, 5) if at < 600 else (50, at % 500)
        removed = 99 if at < 600 else at // 1_000
        processes = {"api 1": Usage(memory, files, sockets, 12, segments=at, removed=removed)}
        processes |= {"kafka 3": Usage(1, 1, 1, 1)} if at < 2_000 else {}
        processes |= {"postgres checkpointer 4": Usage(1, at, 1, 1)}
        seen.append(sample(at, processes=processes))
    found = find(seen, seconds=3_600, warm_up=1_200)
    assert set(found.drifts) == {"api 1", "postgres checkpointer 4"}
    assert found.drifts["postgres checkpointer 4"].files == 0
    drift = found.drifts["api 1"]
    assert drift.memory is not None
    assert drift.memory.slope == pytest.approx(2_000 * 3_600, rel=0.01)
    assert (drift.files, drift.threads, drift.removed) == (0, 0, 3)


def test_sockets_that_are_left_when_nobody_asks_are_told_and_those_of_the_load_are_not() -> None:
    """By what a process has in the end, once connections had time to close, beside what it had before anybody asked."""

    def holding(at: float, phase: str, **sockets: int) -> Sample:
        used = {name: Usage(1, 1, held, 1) for name, held in sockets.items()}
        return sample(at, phase, processes=used)

    seen = [
        *(holding(at, BEFORE, worker=9, indexer=3, gone=5) for at in range(5)),
        *(holding(at, STEADY, worker=70, indexer=3) for at in range(5, 60)),
        *(holding(at, BURSTS, worker=200, indexer=3) for at in range(60, 80)),
        *(holding(at, AFTER, worker=150 if at < 85 else 11, indexer=2, new=8) for at in range(80, 90)),
    ]
    assert find(seen, seconds=90, warm_up=10).kept == {"indexer": -1, "worker": 2}
    assert find(seen[:80], seconds=80, warm_up=10).kept == {}


def test_files_segments_and_sockets_of_a_process_are_counted_apart(tmp_path: Path) -> None:
    """Of a real one: this one."""
    pid, service = os.getpid(), "tests"
    segment, merged = tmp_path / "segment", tmp_path / "merged"
    table = ProcessTable({service: pid}, tmp_path)

    def used() -> Usage:
        return table.usage()[f"{service} {pid}"]

    before = used()
    left, right = socket.socketpair()
    with left, right, Path(__file__).open("rb"), segment.open("wb"), merged.open("wb"):
        merged.unlink()
        during = used()
    assert (during.files - before.files, during.sockets - before.sockets) == (1, 2)
    assert (during.segments, during.removed) == (2, 1)
    assert (before.segments, before.removed) == (0, 0)


def test_a_process_of_ours_that_is_replaced_is_seen_and_a_connection_to_postgresql_may_go() -> None:
    """Workers and embedders are restarted by their own parents, of which the supervisor tells nothing."""
    before, after = {"api worker 1": Usage(1, 1, 1, 1)}, {"api worker 9": Usage(1, 1, 1, 1)}
    connection = {"postgres connection 5": Usage(1, 1, 1, 1)}
    found = find([sample(0, processes=before | connection), sample(1, processes=after)], seconds=2, warm_up=0)
    assert found.gone == ["api worker 1"]


def test_the_processor_that_a_search_takes_is_told_by_kinds_of_processes() -> None:
    """What was used under the constant load alone, of processes that came later too."""
    worker, embedder = "api worker 7", "api embedder 8"
    seen = [
        sample(0, OPENING, processes={worker: Usage(1, 1, 1, 1, 3.0)}),
        sample(1, processes={worker: Usage(1, 1, 1, 1, 10.0)}),
        sample(
            2,
            processes={
                worker: Usage(1, 1, 1, 1, 12.0),
                embedder: Usage(1, 1, 1, 1, 1.0),
                "kafka 9": Usage(1, 1, 1, 1, 5),
            },
        ),
        sample(3, processes={worker: Usage(1, 1, 1, 1, 16.0), embedder: Usage(1, 1, 1, 1, 1.5)}),
        sample(4, BURSTS, processes={worker: Usage(1, 1, 1, 1, 99.0)}),
    ]
    found = find(seen, seconds=5, warm_up=0)
    assert found.processor == {"api worker": 6.0, "api embedder": 0.5, "kafka": 0.0}
    told = results(findings=found, steady=outcome(rate=10, seconds=10))
    report = render(DAY, CIRCUMSTANCES, judge(DAY, told), told, {})
    assert "| api worker | 6.0 | 60.0 |" in report
    assert "| all | 6.5 | 65.0 |" in report


@pytest.mark.parametrize(("limit", "tries"), [(1_000, 6), (700, 5), (1_500, 5), (80, 8), (10, 10)])
async def test_the_highest_rate_is_found_from_both_sides(limit: float, tries: int) -> None:
    """What it gives was sustained, and no tenth more could have been, wherever ten tries reach."""

    async def run(rate: float) -> Outcome:
        return outcome(rate=min(rate, limit), seconds=10, p99=0.1 if rate <= limit else 3.0)

    bursts = await search_highest(1_000, run)
    assert len(bursts) == tries
    assert highest(bursts) <= limit
    assert highest(bursts) >= limit / 1.1


AB_OUTPUT = """
Concurrency Level:      100
Time taken for tests:   2.500 seconds
Complete requests:      2000
Failed requests:        1503
   (Connect: 1, Receive: 0, Length: 1500, Exceptions: 2)
Non-2xx responses:      4
Total transferred:      1234 bytes
Requests per second:    800.00 [#/sec] (mean)

Percentage of the requests served within a certain time (ms)
  50%    100
  99%    230
 100%    400 (longest request)
"""


def test_answers_of_another_length_are_told_apart_from_failed_ones() -> None:
    """As ab counts them together."""
    figures = read_output(AB_OUTPUT, ("ab", "-n", "2000"))
    assert (figures.complete, figures.failed, figures.other_length) == (2_000, 7, 1_500)
    assert (figures.rate, figures.seconds) == (800.0, 2.5)
    assert figures.percentiles == {50: 100, 99: 230, 100: 400}


def test_other_output_is_refused() -> None:
    """Rather than taken for zero failures."""
    with pytest.raises(BenchFailed, match="Complete requests"):
        read_output("ab: no such option", ("ab",))


def test_without_ab_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that whoever reads it knows what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("ab") is None
    with pytest.raises(BenchFailed, match="apache2-utils"):
        find_ab()


def test_the_report_has_every_criterion_and_shows_every_picture(tmp_path: Path) -> None:
    """It is whole, and its tables are."""
    seen = [sample(at, OPENING if at < 5 else STEADY if at < 90 else BURSTS) for at in range(100)]
    found = find(seen, seconds=100, warm_up=10)
    told = results(findings=found, steady=outcome(partial=2))
    criteria = judge(DAY, told)
    pictures = draw(tmp_path, [Span(0.0, 10, 10, latencies=outcome().latencies, last=1.0)], found.stretches)
    text = render(DAY, CIRCUMSTANCES, criteria, told, pictures)
    assert text.startswith("# Validation: not passed\n")
    assert all(f"| {each.limit} | {each.measured} | {each.verdict} |" in text for each in criteria)
    assert all(f"]({name})" in text and (tmp_path / name).stat().st_size > 1_000 for name in pictures.values())
    assert "for 24 h" in text
    assert "ab -n 100000 -c 100" in text


@pytest.mark.parametrize(("seconds", "told"), [(86_400, "24 h"), (90, "90 s"), (1_200, "20 min")])
def test_durations_are_told_as_people_say_them(seconds: float, told: str) -> None:
    """In the largest unit that fits."""
    assert told_seconds(seconds) == told
