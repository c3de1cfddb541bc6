"""Writes `docs/metrics.md`: `python -m infra.reference.metrics > docs/metrics.md`."""

from typing import Final

from streams.metrics import Metric
from streams.metrics.names import Across, MetricDefinition

_INTRODUCTION: Final = """# Metrics

`GET /metrics` of the API answers in Prometheus' text format for all processes of the machine that share its metrics
directory, whichever worker is asked: under `embed-search up` these are the API workers and the indexers. Elsewhere an
indexer tells what it counts at its own `/metrics`, on `EMBED_SEARCH_INDEXER_PORT`.

Counters and histograms add up over all processes and survive the death of each; `embed-search up` begins again at
zero. No label holds anything that a client sent, so the number of series is bounded.

| metric | kind | labels | meaning |
| --- | --- | --- | --- |
"""

_ACROSS: Final[dict[Across | None, str]] = {
    None: "",
    "sum": "; the sum of the processes that run",
    "max": "; the greatest among the processes that run",
}


def metrics_page() -> str:
    """The page, in Markdown."""
    return _INTRODUCTION + "".join(_row(metric.value) for metric in Metric)


def _row(definition: MetricDefinition) -> str:
    labels = "<br>".join(f"`{label.name}`: {label.values}" for label in definition.labels)
    meaning = definition.help + _ACROSS[definition.across] + _buckets(definition)
    return f"| `{definition.name}` | {definition.kind} | {labels} | {meaning} |\n"


def _buckets(definition: MetricDefinition) -> str:
    bounds = ", ".join(f"{bound:g}" for bound in definition.buckets)
    return f"; buckets up to {bounds} s" if bounds else ""


if __name__ == "__main__":
    print(metrics_page(), end="")  # noqa: T201 - standard output is where the page goes
