"""Pictures of a soak. Little imports this: matplotlib is a tool of development, and the product goes without it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from infra.bench.soak.client import Span
from infra.bench.soak.findings import Stretch, per_service
from infra.bench.soak.plan import AFTER, BEFORE, BURSTS, OPENING
from infra.bench.soak.processes import Usage

_SIZE: Final = (8.0, 3.4)
_DOTS_PER_INCH: Final = 80
_PERCENTS: Final = (50.0, 90.0, 99.0)
_MINUTE: Final = 60.0
_SHADES: Final = {BEFORE: "#eeeeee", OPENING: "#fdf1d6", BURSTS: "#fbe3e0", AFTER: "#eeeeee"}
"""Phases that are not the constant load."""

_WORTH_SHOWING: Final = 20_000_000
"""Bytes: dozens of processes of PostgreSQL use less."""

_Line = Sequence[float | None]


def draw(folder: Path, spans: Sequence[Span], stretches: Sequence[Stretch]) -> dict[str, str]:
    """Draw the pictures of a soak.

    Args:
        folder: for them.
        spans: of the constant load.
        stretches: of the samples.

    Returns:
        File names, by what they show.
    """
    in_order = sorted(spans, key=lambda span: span.start)  # they are told as their last answers come
    return _of_searches(folder, in_order) | _of_samples(folder, stretches)


def _of_searches(folder: Path, spans: Sequence[Span]) -> dict[str, str]:
    minutes = [span.start / _MINUTE for span in spans]
    latencies = {f"p{each:g}": [_ms(span.latencies.percentile(each)) for span in spans] for each in _PERCENTS}
    rates = [_a_second(span, length) for span, length in zip(spans, _lengths(spans), strict=True)]
    lines = {name: [rate[name] for rate in rates] for name in ("answered", "failed", "lacking a method")}
    latency, rate = "Latency of searches under the constant load", "Searches a second under the constant load"
    _plot(folder / "latency.png", f"{latency}, ms", minutes, latencies, scale="log")
    _plot(folder / "searches.png", rate, minutes, lines)
    return {latency: "latency.png", rate: "searches.png"}


def _lengths(spans: Sequence[Span]) -> list[float]:
    """Seconds of each span; the last one may be shorter than the others."""
    starts = [span.start for span in spans]
    lengths = [after - before for before, after in pairwise(starts)]
    return [*lengths, *(span.last - span.start for span in spans[-1:])]


def _a_second(span: Span, length: float) -> dict[str, float]:
    failed = sum(span.failures.values())
    counts = {"answered": span.answered, "failed": failed, "lacking a method": span.partial}
    return {name: count / length if length > 0 else 0.0 for name, count in counts.items()}


def _of_samples(folder: Path, stretches: Sequence[Stretch]) -> dict[str, str]:
    services = [per_service(each.processes) for each in stretches]
    names = sorted({name for each in services for name in each})
    processes = sorted({name for each in stretches for name in each.processes})
    minutes = [each.at / _MINUTE for each in stretches]
    memory = {
        name: [each.processes[name].memory / 1e6 if name in each.processes else None for each in stretches]
        for name in processes
        if max(each.processes[name].memory for each in stretches if name in each.processes) >= _WORTH_SHOWING
    }

    def count(of: Callable[[Usage], int]) -> dict[str, _Line]:
        return {name: [float(of(each[name])) if name in each else None for each in services] for name in names}

    indexes = sorted({index for each in stretches for index in each.lag})
    lag = {index: [each.lag.get(index) for each in stretches] for index in indexes}
    pictures: dict[str, tuple[str, Mapping[str, _Line]]] = {
        "Anonymous memory of each process, MB": ("memory.png", memory),
        "Open files of each service": ("files.png", count(lambda used: used.files + used.segments)),
        "Sockets of each service": ("sockets.png", count(lambda used: used.sockets)),
        "Threads of each service": ("threads.png", count(lambda used: used.threads)),
        "Longest lag of each index, s": ("lag.png", lag),
    }
    for title, (file, lines) in pictures.items():
        _plot(folder / file, title, minutes, lines, shaded=stretches)
    return {title: file for title, (file, _) in pictures.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _plot(
    file: Path,
    title: str,
    minutes: Sequence[float],
    lines: Mapping[str, _Line],
    *,
    scale: str = "linear",
    shaded: Sequence[Stretch] = (),
) -> None:
    figure = Figure(figsize=_SIZE, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    for name, values in lines.items():
        axes.plot(minutes, [float("nan") if each is None else each for each in values], label=name, linewidth=1.2)
    for before, after in pairwise(shaded):
        if before.phase in _SHADES:
            axes.axvspan(before.at / _MINUTE, after.at / _MINUTE, color=_SHADES[before.phase], linewidth=0)
    axes.set_yscale(scale)
    if scale == "linear":
        axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("minutes")
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(file)
