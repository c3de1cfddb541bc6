"""What has to hold, what is aimed at, and whether what was measured does."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from infra.bench.soak.ab import AbFigures
from infra.bench.soak.bursts import MOST_LATENCY, Burst, highest, keeps_up
from infra.bench.soak.client import Outcome
from infra.bench.soak.findings import Drift, Findings
from infra.bench.soak.plan import JUDGED_SECONDS, WARM_UP_SECONDS, SoakPlan

Verdict = Literal["holds", "does not hold", "cannot be judged"]

AIMED_LATENCY: Final = 0.1
LEAST_RATE: Final = 100.0
AIMED_CACHED_RATE: Final = 1_000.0
AIMED_DISTINCT_RATE: Final = 200.0
MOST_GROWTH: Final = 5e6
MOST_DRIFT: Final = 5.0
MOST_KEPT: Final = 5
"""Workers open connections to PostgreSQL as they need them, and keep the few that their pool may have."""

MOST_REMOVED: Final = 5
"""A search that runs holds what a merge has replaced meanwhile."""

MOST_LAG: Final = 5.0

_P99: Final = 99.0
_NAMED: Final = 3


class Criterion(msgspec.Struct, frozen=True):
    """One of them.

    Attributes:
        name: what is measured.
        limit: what it is held against.
        measured: what it was.
        verdict: whether it holds.
        required: whether the validation fails without it; it is an aim otherwise.
    """

    name: str
    limit: str
    measured: str
    verdict: Verdict
    required: bool = True

    @property
    def title(self) -> str:
        """The name, and that it is an aim where it is one."""
        return self.name if self.required else f"aim: {self.name}"


class Results(msgspec.Struct, frozen=True):
    """All that was measured.

    Attributes:
        opening: of ApacheBench.
        steady: of the constant load.
        changes: outcomes of the changes, `accepted` being the good one.
        failures: of services, as the supervisor told them.
        findings: of the samples.
        cached: bursts of a few queries again and again.
        distinct: bursts of queries that nobody has asked before.
    """

    opening: AbFigures
    steady: Outcome
    changes: Mapping[str, int]
    failures: Sequence[str]
    findings: Findings
    cached: Sequence[Burst]
    distinct: Sequence[Burst]


def judge(plan: SoakPlan, results: Results) -> list[Criterion]:
    """Every criterion, the required ones first."""
    return [
        *_of_crashes(results),
        *_of_requests(plan, results),
        *_of_lag_and_health(results.findings),
        _of_memory(plan, results.findings.drifts),
        _of_flatness("open files", {name: each.files for name, each in results.findings.drifts.items()}),
        _of_removed({name: each.removed for name, each in results.findings.drifts.items()}),
        _of_sockets(results.findings.kept),
        _of_flatness("threads", {name: each.threads for name, each in results.findings.drifts.items()}),
        *_of_aims(results),
    ]


def passes(criteria: Sequence[Criterion]) -> bool:
    """Whether all that is required holds; what cannot be judged does not."""
    return all(each.verdict == "holds" for each in criteria if each.required)


def _of_crashes(results: Results) -> list[Criterion]:
    failures, gone = results.failures, results.findings.gone
    return [
        Criterion("services that ended or were restarted", "0", _counted(failures), _verdict(not failures)),
        Criterion("processes of ours that were replaced", "0", _counted(gone), _verdict(not gone)),
    ]


def _of_requests(plan: SoakPlan, results: Results) -> list[Criterion]:
    ab, steady = results.opening, results.steady
    refused = sum(count for name, count in results.changes.items() if name != "accepted")
    short = plan.ab_requests - ab.complete
    ab_p99 = ab.percentiles[int(_P99)] / 1000 if int(_P99) in ab.percentiles else None
    p99 = steady.latencies.percentile(_P99)
    return [
        _none("ab: failed requests", ab.failed + short, ab.complete),
        Criterion("ab: p99", _under(MOST_LATENCY), _seconds(ab_p99), _below(ab_p99, MOST_LATENCY)),
        _at_least("ab: requests a second", LEAST_RATE, ab.rate),
        _none("searches: failed", steady.failed, steady.sent, _names(steady.failures)),
        _none("searches: answers that lack a method", steady.partial, steady.answered),
        Criterion("searches: p99", _under(MOST_LATENCY), _seconds(p99), _below(p99, MOST_LATENCY)),
        Criterion(
            "searches: answered a second",
            f"all of {plan.rate:g}, which is >= {LEAST_RATE:g}",
            f"{steady.rate:.1f}",
            _verdict(plan.rate >= LEAST_RATE and keeps_up(steady, plan.rate)),
        ),
        _none("changes that were not accepted", refused, sum(results.changes.values())),
    ]


def _of_lag_and_health(findings: Findings) -> list[Criterion]:
    lag = findings.lag_p99
    worst = max(lag, key=lambda name: lag[name], default="")
    told = f"{lag[worst]:.2f} s ({worst})" if worst else "no samples"
    not_healthy = findings.samples - findings.healthy
    return [
        Criterion("lag of the slowest index, p99", f"<= {MOST_LAG:g} s", told, _at_most(lag.get(worst), MOST_LAG)),
        _none("samples in which it was not healthy", not_healthy, findings.samples, _names(findings.reasons)),
    ]


def _of_memory(plan: SoakPlan, drifts: Mapping[str, Drift]) -> Criterion:
    """Over the limit with confidence is a leak, under it with confidence is none, and all else is not known."""
    trends = {name: each.memory for name, each in drifts.items() if each.memory is not None}
    limit = f"<= {MOST_GROWTH / 1e6:g} MB/h after {WARM_UP_SECONDS / 60:g} min"
    name = "growth of memory, of each process"
    if not trends:
        return Criterion(name, limit, "too few samples", "cannot be judged")
    fastest = max(trends, key=lambda each: trends[each].slope)
    slope = trends[fastest]
    measured = f"{slope.slope / 1e6:+.1f} MB/h ({slope.low / 1e6:+.1f} to {slope.high / 1e6:+.1f}), {fastest}"
    if not plan.long_enough:
        least = (WARM_UP_SECONDS + JUDGED_SECONDS) / 60
        return Criterion(name, limit, f"{measured}; told from {least:g} min on", "cannot be judged")
    if any(each.low > MOST_GROWTH for each in trends.values()):
        return Criterion(name, limit, measured, "does not hold")
    sure = all(each.high <= MOST_GROWTH for each in trends.values())
    return Criterion(name, limit, measured, "holds" if sure else "cannot be judged")


def _of_flatness(what: str, drifts: Mapping[str, float]) -> Criterion:
    name, limit = f"{what} of each process, medians around their median", f"+-{MOST_DRIFT:g}"
    return _of_the_worst(name, limit, drifts, MOST_DRIFT, shown=".1f")


def _of_sockets(kept: Mapping[str, int]) -> Criterion:
    """How many there are under load depends on how many ask at a time; what is left when nobody does is a leak."""
    name, limit = "sockets of each process that are kept after the load", f"<= {MOST_KEPT}"
    return _of_the_worst(name, limit, kept, MOST_KEPT, shown="d")


def _of_removed(removed: Mapping[str, int]) -> Criterion:
    """How many files an index has depends on its segments; what is held of those that are gone is a leak."""
    name = "files of indexes that are gone and each process holds, medians"
    return _of_the_worst(name, f"<= {MOST_REMOVED}", removed, MOST_REMOVED, shown="d")


def _of_the_worst(name: str, limit: str, values: Mapping[str, float], most: float, *, shown: str) -> Criterion:
    """No process may have more, so the one that has most tells for all; `shown` is the format of its value."""
    if not values:
        return Criterion(name, limit, "no samples", "cannot be judged")
    worst = max(values, key=lambda each: values[each])
    return Criterion(name, limit, f"{values[worst]:{shown}} ({worst})", _verdict(values[worst] <= most))


def _of_aims(results: Results) -> list[Criterion]:
    p99 = results.steady.latencies.percentile(_P99)
    return [
        Criterion("searches: p99", _under(AIMED_LATENCY), _seconds(p99), _below(p99, AIMED_LATENCY), required=False),
        _at_least("searches a second, cached queries", AIMED_CACHED_RATE, highest(results.cached), required=False),
        _at_least(
            "searches a second, distinct queries", AIMED_DISTINCT_RATE, highest(results.distinct), required=False
        ),
    ]


def _none(name: str, count: int, total: int, why: str = "") -> Criterion:
    """None may be there of what there was, and there must have been something."""
    told = f"{count:,} of {total:,}" + (f": {why}" if why else "")
    return Criterion(name, "0", told, _verdict(count == 0 and total > 0))


def _at_least(name: str, limit: float, measured: float, *, required: bool = True) -> Criterion:
    return Criterion(name, f">= {limit:,.0f}", f"{measured:,.0f}", _verdict(measured >= limit), required)


def _below(measured: float | None, limit: float) -> Verdict:
    return "cannot be judged" if measured is None else _verdict(measured < limit)


def _at_most(measured: float | None, limit: float) -> Verdict:
    return "cannot be judged" if measured is None else _verdict(measured <= limit)


def _verdict(holds: bool) -> Verdict:  # noqa: FBT001 - the one thing that it tells
    return "holds" if holds else "does not hold"


def _under(limit: float) -> str:
    return f"< {limit:g} s"


def _seconds(seconds: float | None) -> str:
    return "no answers" if seconds is None else f"{seconds:.3f} s"


def _counted(things: Sequence[str]) -> str:
    return f"{len(things)}" + (f": {'; '.join(things[:_NAMED])}" if things else "")


def _names(counts: Mapping[str, int]) -> str:
    commonest = sorted(counts.items(), key=lambda each: -each[1])[:_NAMED]
    return ", ".join(f"{name} ({count:,})" for name, count in commonest)
