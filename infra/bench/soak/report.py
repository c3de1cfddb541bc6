"""The report of a soak, as Markdown: what had to hold and whether it did, then what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from infra.bench.machine import Machine
from infra.bench.soak.bursts import Burst
from infra.bench.soak.criteria import Criterion, Results, passes
from infra.bench.soak.findings import Drift
from infra.bench.soak.plan import SoakPlan
from infra.bench.soak.processes import Usage

REPORT_FILE: Final = "report.md"

_PERCENTS: Final = (50.0, 90.0, 99.0, 99.9)


class Circumstances(msgspec.Struct, frozen=True):
    """Where and when a soak ran.

    Attributes:
        machine: it ran on.
        version: of this software.
        began: point in time.
        load: how many processes wanted a core before it began, on average of a minute.
    """

    machine: Machine
    version: str
    began: datetime
    load: float


def render(
    plan: SoakPlan,
    circumstances: Circumstances,
    criteria: Sequence[Criterion],
    results: Results,
    pictures: Mapping[str, str],
) -> str:
    """Write the report.

    Args:
        plan: of the soak.
        circumstances: of it.
        criteria: judged.
        results: that they were judged from.
        pictures: file names by what they show.
    """
    blocks = [
        f"# Validation: {'passed' if passes(criteria) else 'not passed'}",
        *_circumstances(plan, circumstances),
        "## Criteria",
        _criteria(criteria),
        "## ApacheBench",
        *_opening(results),
        "## Constant load",
        *_steady(results),
        "## Highest rates",
        _bursts(results),
        f"In {results.findings.overloaded:,} samples of these bursts it was not healthy: some go over what it can do.",
        "## Processes",
        "Under the constant load, after the warm-up. Memory in MB: at its end, and the growth an hour (95 % interval).",
        _processes(results),
        "## Processor",
        "Under the constant load, changes of documents and the idle work of all processes included.",
        _processor(results),
        *(f"## {title}\n\n![{title}]({name})" for title, name in pictures.items()),
    ]
    return "\n\n".join(blocks) + "\n"


def _circumstances(plan: SoakPlan, circumstances: Circumstances) -> Iterator[str]:
    machine = circumstances.machine
    yield (
        f"embed-search {circumstances.version}, {circumstances.began:%Y-%m-%d %H:%M} UTC, {machine.cores} cores of"
        f" {machine.cpu}, {machine.system}, Python {machine.python}; {circumstances.load:.1f} processes wanted a core"
        " when it began. The clients run on the same machine."
    )
    yield (
        f"{plan.rate:g} searches and {plan.changes:g} changes a second for {told_seconds(plan.seconds)}, of which the"
        f" first {told_seconds(plan.warm_up)} are warm-up for the trends."
    )


def _criteria(criteria: Sequence[Criterion]) -> str:
    rows = [(each.title, each.limit, each.measured, each.verdict) for each in criteria]
    return _table(("criterion", "limit", "measured", "verdict"), rows)


def _opening(results: Results) -> Iterator[str]:
    ab = results.opening
    yield f"`{ab.command}`: {ab.rate:,.0f} requests a second, {ab.seconds:.1f} s in all."
    yield _table(("percent", "ms"), [(str(percent), str(ms)) for percent, ms in ab.percentiles.items()])
    if ab.other_length:
        yield (
            f"It counts {ab.other_length:,} answers as failed because they are not as long as the first one. They are"
            " whole: an answer tells how long it took, and documents change meanwhile."
        )


def _steady(results: Results) -> Iterator[str]:
    steady = results.steady
    latencies = [(f"p{percent:g}", _ms(steady.latencies.percentile(percent))) for percent in _PERCENTS]
    yield _table(("latency", "ms"), [*latencies, ("longest", _ms(steady.latencies.longest))])
    if steady.examples:
        yield "Some of what was answered otherwise:"
        yield "\n".join(f"- `{each}`" for each in steady.examples)
    accepted = results.changes.get("accepted", 0)
    yield f"{accepted:,} changes were accepted. Lag, p99: {', '.join(_lags(results))}."


def _lags(results: Results) -> Iterator[str]:
    for index, seconds in results.findings.lag_p99.items():
        yield f"{index} {seconds:.2f} s"


def _bursts(results: Results) -> str:
    bursts = [("cached", each) for each in results.cached] + [("distinct", each) for each in results.distinct]
    headings = ("queries", "sent a second", "answered a second", "p99, ms", "failed", "lack a method", "sustained")
    return _table(headings, [_burst(kind, each) for kind, each in bursts])


def _burst(kind: str, burst: Burst) -> tuple[str, ...]:
    rates = f"{burst.rate:,.0f}", f"{burst.answered:,.0f}"
    return (kind, *rates, _ms(burst.p99), str(burst.failed), str(burst.partial), "yes" if burst.held else "no")


def _processes(results: Results) -> str:
    findings = results.findings
    last: Mapping[str, Usage] = {}
    for stretch in findings.stretches:
        last = stretch.processes if set(findings.drifts) <= set(stretch.processes) else last
    rows = [
        _process(name, drift, last[name], findings.kept.get(name))
        for name, drift in findings.drifts.items()
        if name in last
    ]
    return _table(("process", "memory", "growth", "files", "of indexes", "sockets", "kept", "threads"), rows)


def _process(name: str, drift: Drift, used: Usage, kept: int | None) -> tuple[str, ...]:
    growth = "-"
    if drift.memory is not None:
        slope, low, high = (value / 1e6 for value in (drift.memory.slope, drift.memory.low, drift.memory.high))
        growth = f"{slope:+.1f} ({low:+.1f} to {high:+.1f})"
    files, threads = f"{used.files} +-{drift.files:g}", f"{used.threads} +-{drift.threads:g}"
    sockets = str(used.sockets), "-" if kept is None else str(kept)
    return name, f"{used.memory / 1e6:.0f}", growth, files, f"{used.segments}, {drift.removed} gone", *sockets, threads


def _processor(results: Results) -> str:
    answered = max(1, results.steady.answered)
    used = results.findings.processor
    rows = [(kind, f"{seconds:.1f}", _ms(seconds / answered)) for kind, seconds in used.items()]
    total = sum(used.values())
    return _table(("processes", "seconds", "ms a search"), [*rows, ("all", f"{total:.1f}", _ms(total / answered))])


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}"


def told_seconds(seconds: float) -> str:
    """A duration in the largest unit that it is a whole number of."""
    for unit, length in (("h", 3_600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
