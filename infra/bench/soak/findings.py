"""What the samples of a soak say, read one by one: medians of stretches of time are kept, and the samples are not."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import msgspec

from infra.bench.soak.histogram import Histogram
from infra.bench.soak.plan import AFTER, BEFORE, BURSTS, STEADY
from infra.bench.soak.processes import Usage
from infra.bench.soak.sampling import Sample
from infra.bench.soak.trend import Trend, trend

MOST_STRETCHES: Final = 480
LEAST_STRETCH_SECONDS: Final = 5.0

_HOUR: Final = 3_600.0
_P99: Final = 99.0
_NOT_OURS: Final = ("kafka", "postgres")
"""Services whose own processes come and go as they like, and open the files of tables and topics as they need them."""


class Stretch(msgspec.Struct, frozen=True):
    """Medians of the samples of a stretch of time.

    Attributes:
        at: its middle, seconds since the system was ready.
        phase: of its first sample.
        lag: the longest of each index, not the median, in seconds.
        processes: by name.
    """

    at: float
    phase: str
    lag: dict[str, float]
    processes: dict[str, Usage]


class Drift(msgspec.Struct, frozen=True):
    """How a process changed under the constant load, after the warm-up.

    Attributes:
        memory: its growth in bytes an hour; None where there are too few stretches.
        files: how far the median of a stretch was from the median of them all, at most; 0 of what is not ours.
        threads: the same.
        removed: the highest median of a stretch.
    """

    memory: Trend | None
    files: float
    threads: float
    removed: int


class Findings(msgspec.Struct, frozen=True):
    """What all samples say together.

    Attributes:
        samples: how many there were before the bursts.
        healthy: in how many of them `/health` was.
        reasons: why it was not, by how often.
        overloaded: samples from the bursts on in which it was not.
        lag_p99: of each index before the bursts, in seconds.
        kept: sockets that each process had at the end, when nobody asked any more, and not before anybody did.
        gone: processes of ours that were there at the beginning and not until the end.
        drifts: of each process that lived through all of the constant load.
        processor: seconds that each kind of process used under the constant load.
        stretches: for plots.
    """

    samples: int
    healthy: int
    reasons: dict[str, int]
    overloaded: int
    lag_p99: dict[str, float]
    kept: dict[str, int]
    gone: list[str]
    drifts: dict[str, Drift]
    processor: dict[str, float]
    stretches: list[Stretch]


def read_samples(file: Path) -> Iterator[Sample]:
    """The samples of a file, one by one."""
    with file.open("rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line, type=Sample)


def find(samples: Iterable[Sample], *, seconds: float, warm_up: float) -> Findings:
    """Read samples.

    Args:
        samples: in order.
        seconds: of all of them, about: how long a stretch is depends on it.
        warm_up: seconds of the constant load that do not count for drifts.
    """
    reading = _Reading(max(LEAST_STRETCH_SECONDS, seconds / MOST_STRETCHES))
    for sample in samples:
        reading.add(sample)
    return reading.findings(warm_up)


class _Reading:
    def __init__(self, stretch_seconds: float) -> None:
        self._seconds = stretch_seconds
        self._samples = self._healthy = self._overloaded = 0
        self._reasons: Counter[str] = Counter()
        self._lag: dict[str, Histogram] = defaultdict(Histogram)
        self._first: set[str] = set()
        self._last: set[str] = set()
        self._stretches: list[Stretch] = []
        self._pending: list[Sample] = []
        self._before: dict[str, float] = {}
        self._after: dict[str, float] = {}

    def add(self, sample: Sample) -> None:
        ours = {name for name in sample.processes if not name.startswith(_NOT_OURS)}
        self._first = self._first or ours
        self._last = ours
        if sample.phase == STEADY:
            used = {name: each.processor for name, each in sample.processes.items()}
            self._before = used | self._before
            self._after |= used
        healthy = sample.health == "healthy"
        if sample.phase in (BURSTS, AFTER):
            self._overloaded += not healthy
        else:
            self._samples += 1
            self._healthy += healthy
            if not healthy:
                self._reasons.update(
                    f"{name}: {why}" for name, why in (sample.unhealthy or {"api": sample.health}).items()
                )
            for index, lag in sample.lag.items():
                self._lag[index].add(lag)
        if self._pending and not self._together(self._pending[0], sample):
            self._close_stretch()
        self._pending.append(sample)

    def findings(self, warm_up: float) -> Findings:
        if self._pending:
            self._close_stretch()
        return Findings(
            samples=self._samples,
            healthy=self._healthy,
            reasons=dict(self._reasons),
            overloaded=self._overloaded,
            lag_p99={index: each.percentile(_P99) or 0.0 for index, each in self._lag.items()},
            kept=_kept(self._stretches),
            gone=sorted(self._first - self._last),
            drifts=_drifts([each for each in self._stretches if each.phase == STEADY], warm_up),
            processor=self._processor(),
            stretches=self._stretches,
        )

    def _processor(self) -> dict[str, float]:
        kinds: dict[str, float] = defaultdict(float)
        for name, seconds in self._after.items():
            kinds[name.rpartition(" ")[0]] += seconds - self._before[name]
        return dict(sorted(kinds.items(), key=lambda kind: -kind[1]))

    def _together(self, first: Sample, other: Sample) -> bool:
        same = math.floor(first.at / self._seconds) == math.floor(other.at / self._seconds)
        return same and first.phase == other.phase

    def _close_stretch(self) -> None:
        samples, self._pending = self._pending, []
        names = {name for sample in samples for name in sample.processes}
        indexes = {index for sample in samples for index in sample.lag}
        self._stretches.append(
            Stretch(
                (samples[0].at + samples[-1].at) / 2,
                samples[0].phase,
                {index: max(each.lag.get(index, 0.0) for each in samples) for index in sorted(indexes)},
                {name: _median([each.processes[name] for each in samples if name in each.processes]) for name in names},
            )
        )


def _median(usages: Sequence[Usage]) -> Usage:
    return Usage(
        int(median(each.memory for each in usages)),
        int(median(each.files for each in usages)),
        int(median(each.sockets for each in usages)),
        int(median(each.threads for each in usages)),
        median(each.processor for each in usages),
        int(median(each.segments for each in usages)),
        int(median(each.removed for each in usages)),
    )


def _kept(stretches: Sequence[Stretch]) -> dict[str, int]:
    """By the last stretch of each phase: connections that nobody needs may take a moment to close."""
    last = {each.phase: each.processes for each in stretches}
    before, after = last.get(BEFORE, {}), last.get(AFTER, {})
    return {name: after[name].sockets - before[name].sockets for name in sorted(before.keys() & after.keys())}


def _drifts(stretches: Sequence[Stretch], warm_up: float) -> dict[str, Drift]:
    if not stretches:
        return {}
    judged = [each for each in stretches if each.at >= stretches[0].at + warm_up]
    always = set.intersection(*(set(each.processes) for each in judged)) if judged else set()
    return {name: _drift(judged, name) for name in sorted(always)}


def _drift(stretches: Sequence[Stretch], name: str) -> Drift:
    used = [each.processes[name] for each in stretches]
    return Drift(
        trend([each.at / _HOUR for each in stretches], [each.memory for each in used]),
        0.0 if name.startswith(_NOT_OURS) else _reach([each.files for each in used]),
        _reach([each.threads for each in used]),
        max(each.removed for each in used),
    )


def _reach(values: Sequence[int]) -> float:
    middle = median(values)
    return max(abs(value - middle) for value in values)


def per_service(processes: Mapping[str, Usage]) -> dict[str, Usage]:
    """What each service uses with all of its processes."""
    services: dict[str, list[Usage]] = defaultdict(list)
    for name, used in processes.items():
        services[name.split()[0]].append(used)
    return {
        name: Usage(
            sum(each.memory for each in used),
            sum(each.files for each in used),
            sum(each.sockets for each in used),
            sum(each.threads for each in used),
            sum(each.processor for each in used),
            sum(each.segments for each in used),
            sum(each.removed for each in used),
        )
        for name, used in sorted(services.items())
    }
