"""Each order as the command that carries it out, and what that command printed as a report."""

from pathlib import Path
from typing import Final

import msgspec

from indexer.jobs.job import JobReport, RebuildOrder, VerificationOrder
from indexer.reports.comparison import IndexComparison
from indexer.reports.files import FilesReport
from indexer.reports.rebuilding import RebuildOutcome

GOLDEN: Final = "golden.ndjson"


def arguments_of(index: str, order: RebuildOrder | VerificationOrder, scratch: Path) -> list[str]:
    """The words of the command line.

    Args:
        index: that the order is about.
        order: to carry out.
        scratch: an empty folder for what goes with it.
    """
    if isinstance(order, RebuildOrder):
        return ["rebuild", index, "--json", *_rebuild_options(order, scratch)]
    words = ["verify", index, "--json", "--shown", str(order.shown)]
    if order.deep:
        return [*words, "--deep", "--sample", str(order.sample)]
    return [*words, "--repair", "--patience", str(order.patience)] if order.repair else words


def report_of(order: RebuildOrder | VerificationOrder, output: bytes) -> JobReport | None:
    """What the command printed about its one index; None if it did not get so far."""
    if not output.strip():
        return None
    if isinstance(order, RebuildOrder):
        return JobReport(rebuild=msgspec.json.decode(output, type=tuple[RebuildOutcome])[0])
    if order.deep:
        return JobReport(files=msgspec.json.decode(output, type=tuple[FilesReport])[0])
    return JobReport(comparison=msgspec.json.decode(output, type=tuple[IndexComparison])[0])


def _rebuild_options(order: RebuildOrder, scratch: Path) -> list[str]:
    bounds = order.bounds
    words = ["--promote", order.promote, "--min-overlap", str(bounds.min_overlap)]
    words += ["--max-ndcg-drop", str(bounds.max_ndcg_drop), "--max-latency-ratio", str(bounds.max_latency_ratio)]
    if not order.sample:
        words.append("--no-sample")
    if order.golden:
        path = scratch / GOLDEN
        path.write_bytes(b"".join(msgspec.json.encode(query) + b"\n" for query in order.golden))
        words += ["--golden", str(path)]
    return words
