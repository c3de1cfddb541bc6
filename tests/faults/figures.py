"""What an experiment measured, beside what it must be and what was measured in the same run while all was well."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

FILE: Final = Path("dist/faults.jsonl")
"""Every figure of every run, a line each; `python -m tests.faults.table` brings the page of them up to date."""

SCHEDULING_SECONDS: Final = 0.05
"""What a machine that others use too may add to a p99."""

Relation = Literal["<=", ">=", "=="]


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One figure of one run.

    Attributes:
        measured: what it was,
        relation: and how it must stand to
        limit: this.
        unit: of both.
        healthy: the same, measured in the same run while all was well.
        at: the time, UTC.
        machine_load: processes that waited for the machine's cores on average of the last minute.
    """

    experiment: str
    what: str
    measured: float
    relation: Relation
    limit: float
    unit: str
    healthy: float | None
    at: str
    machine_load: float
    cores: int

    @property
    def holds(self) -> bool:
        """Whether it is as it must be."""
        match self.relation:
            case "<=":
                return self.measured <= self.limit
            case ">=":
                return self.measured >= self.limit
            case "==":
                return self.measured == self.limit

    def shown(self, value: float) -> str:
        """A value with the unit."""
        return f"{value:.3f} s" if self.unit == "s" else f"{value:g} {self.unit}".rstrip()

    def __str__(self) -> str:
        healthy = f"; healthy: {self.shown(self.healthy)}" if self.healthy is not None else ""
        verdict = "" if self.holds else "  <-- does not hold"
        return f"{self.what}: {self.shown(self.measured)} ({self.relation} {self.shown(self.limit)}{healthy}){verdict}"


def no_slower(healthy: float, times: float) -> float:
    """The limit of a p99 that may be so many times the healthy one, or a little more where that is very short."""
    return max(times * healthy, healthy + SCHEDULING_SECONDS)


class Experiment:
    """The figures of one experiment."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.figures: list[Figure] = []
        self.examples: list[str] = []

    def at_most(self, what: str, measured: float, limit: float, unit: str = "", healthy: float | None = None) -> None:
        """A figure that may be no higher."""
        self._add(what, measured, "<=", limit, unit, healthy)

    def at_least(self, what: str, measured: float, limit: float, unit: str = "", healthy: float | None = None) -> None:
        """A figure that may be no lower."""
        self._add(what, measured, ">=", limit, unit, healthy)

    def exactly(
        self,
        what: str,
        measured: float,
        limit: float,
        unit: str = "",
        healthy: float | None = None,
        *,
        examples: Sequence[str] = (),
    ) -> None:
        """A figure that may be no other; with some of what it counts, to look into."""
        self._add(what, measured, "==", limit, unit, healthy)
        if measured != limit:
            self.examples.extend(examples)

    def _add(
        self, what: str, measured: float, relation: Relation, limit: float, unit: str, healthy: float | None
    ) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        busy, cores = round(os.getloadavg()[0], 1), os.cpu_count() or 1
        self.figures.append(Figure(self.name, what, measured, relation, limit, unit, healthy, at, busy, cores))


REPORTED: Final[list[Figure]] = []
"""Of this run, for pytest's summary."""


@contextmanager
def experiment(name: str) -> Iterator[Experiment]:
    """Report what the block measures, and fail if something is not as it must be.

    What was measured before an experiment was cut short is told, and not written down: it did not run.
    """
    measuring = Experiment(name)
    try:
        yield measuring
    finally:
        REPORTED.extend(measuring.figures)
    FILE.parent.mkdir(exist_ok=True)
    with FILE.open("ab") as file:
        file.writelines(msgspec.json.encode(figure) + b"\n" for figure in measuring.figures)
    failures = [str(figure) for figure in measuring.figures if not figure.holds]
    assert not failures, "\n".join(failures + measuring.examples)
