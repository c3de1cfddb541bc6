"""`embed-search verify`: whether the indexes hold what the topic says, or with `--deep`, what was written to them."""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table

from indexer.registry import LOCAL_ENGINES
from indexer.reports.comparison import IndexComparison
from indexer.reports.files import FilesReport
from infra.cli.database import with_database
from infra.cli.options import json_option, url_option
from infra.cli.source import topic_address
from infra.verification.convergence import compare, compare_and_repair
from infra.verification.deep import check_deep
from streams.settings import METHODS, SEMANTIC, Settings, load_settings

_SHOWN: Final = 10
R = TypeVar("R")

_PIPE_COLUMNS: Final = 200
_CLASSES: Final = ("missing", "stale", "extra", "different")


@click.command("verify")
@click.argument("names", nargs=-1, type=click.Choice(METHODS))
@click.option("--repair", is_flag=True, help="Have the indexers put right what was found, and nothing else.")
@click.option(
    "--patience",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="Seconds to wait for an indexer to take up a repair.",
)
@click.option("--deep", is_flag=True, help="Check the files of the local indexes instead, and scores of bm25.")
@click.option(
    "--sample", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Documents to score, with --deep."
)
@click.option(
    "--shown",
    type=click.IntRange(0, 10_000),
    default=_SHOWN,
    show_default=True,
    help="Documents to name of each class.",
)
@url_option
@json_option
def verify_command(  # noqa: PLR0913 - the options of a command
    *,
    names: tuple[str, ...],
    repair: bool,
    patience: float,
    deep: bool,
    sample: int,
    shown: int,
    url: str,
    as_json: bool,
) -> None:
    """Compare the indexes NAMES, or all that the settings list, with the topic, document by document.

    Names what is missing, stale, extra or different. Exit status 1 when anything is. Everything may go on meanwhile;
    documents with records that an index has not read yet are not compared. The local indexes are those in
    EMBED_SEARCH_DATA_DIR; temporary files in TMPDIR take some 100 bytes for each document and index.

    With --repair, the running indexers put right what was found, document by document, from the topic's records; exit
    status 0 when nothing is left. Their EMBED_SEARCH_DATA_DIR must be this one.

    With --deep, every file of bm25, tantivy and native is held against its checksums, and scores of bm25 against
    rank_bm25.
    """
    settings = load_settings()
    if deep and repair:
        raise click.UsageError("--repair goes without --deep: indexers mend damaged files by themselves")
    if deep:
        files = _checked_files(settings, _local(names, settings), sample)
        _end(files, as_json=as_json, show=_show_deep, sound=all(report.sound for report in files))
    else:
        found = _compared(settings, names or settings.indexes, url, shown, patience if repair else None)
        _end(found, as_json=as_json, show=_show, sound=all(report.sound for report in found))


def _end(reports: Sequence[R], *, as_json: bool, show: Callable[[Sequence[R]], None], sound: bool) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reports)))
    else:
        show(reports)
    if not sound:
        sys.exit(1)


def _local(names: Sequence[str], settings: Settings) -> Sequence[str]:
    if SEMANTIC in names:
        raise click.UsageError(f"{SEMANTIC} has no files of its own for --deep: PostgreSQL keeps them")
    return names or [name for name in settings.indexes if name in LOCAL_ENGINES]


def _checked_files(settings: Settings, names: Sequence[str], sample: int) -> Sequence[FilesReport]:
    with Console(stderr=True).status("verifying") as status:
        return check_deep(settings, names, sample=sample, on_step=status.update)


def _compared(
    settings: Settings, names: Sequence[str], url: str, shown: int, patience: float | None
) -> Sequence[IndexComparison]:
    address = topic_address(url, settings)
    placed = with_database(settings, names)
    with (
        tempfile.TemporaryDirectory(prefix="embed-search-verify-") as scratch,
        Console(stderr=True).status("verifying") as status,
    ):
        comparing = compare if patience is None else partial(compare_and_repair, patience=patience)
        return asyncio.run(comparing(placed, address, names, scratch=Path(scratch), shown=shown, on_step=status.update))


def _show(reports: Sequence[IndexComparison]) -> None:
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("index")
    for column in ("documents", *_CLASSES, "changing", "refused", "behind"):
        table.add_column(column, justify="right")
    for report in reports:
        if not report.reason:
            counts = [getattr(report, name).count for name in _CLASSES]
            numbers = (report.documents, *counts, report.changing, report.refused, report.behind)
            table.add_row(report.index, *(f"{number:,}" for number in numbers))
    console.print(table)
    for report in reports:
        if report.reason:
            console.print(f"{report.index} was not compared: {report.reason}", style="red", markup=False)
        if (repair := report.repair) is not None:
            console.print(
                f"{report.index}: {repair.repaired:,} repaired, {repair.superseded:,} changed since,"
                f" {repair.refused:,} refused"
            )
            if repair.reason:
                console.print(f"{report.index} was not repaired: {repair.reason}", style="red", markup=False)
        for name in _CLASSES:
            for fault in getattr(report, name).first:
                has, should = fault.indexed or "nothing", fault.topic or "nothing"
                console.print(f"{report.index} {name}: {fault.id!r} (index {has}, topic {should})", markup=False)


def _show_deep(reports: Sequence[FilesReport]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        verdict = "[green]sound[/]" if report.sound else "[red]damaged[/]"
        console.print(f"{report.index} {report.generation}: {verdict}")
        for reason in report.damage:
            console.print(f"  {reason}", markup=False)
        if report.scores is not None:
            _show_scores(report, console)


def _show_scores(report: FilesReport, console: Console) -> None:
    audit = report.scores
    if audit is None:
        return
    wrong = len(audit.disagreements)
    console.print(f"  {audit.scores} scores of {audit.queries} queries compared with rank_bm25: {wrong} differ")
    for each in audit.disagreements[:_SHOWN]:
        console.print(f"  {each.query!r}: {each.id} has {each.score}, not {each.expected}", markup=False)
