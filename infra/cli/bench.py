"""`embed-search bench`: our engines beside what people use today, in one run on the user's own files; and the soak."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from infra.bench.bm25 import Bm25Comparison, compare_bm25
from infra.bench.native import NativeComparison, compare_native
from infra.bench.progress import Progress
from infra.bench.report import Agreement, IndexFigures, Report, Row
from infra.cli.bars import step_bars
from infra.cli.options import json_option
from infra.cli.soak import soak_command

_NOTHING: Final = "-"

_positive = click.IntRange(min=1)
_folder_argument = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
_files_option = click.option("--files", type=_positive, help="Use at most so many of the files [all].")
_queries_option = click.option("--queries", type=_positive, default=250, show_default=True, help="How many to run.")
_limit_option = click.option("--limit", type=_positive, default=10, show_default=True, help="Hits of each answer.")


@click.group("bench")
def bench_command() -> None:
    """Compare our engines with what people use today, and the whole system with what it must hold."""


bench_command.add_command(soak_command)


@bench_command.command("bm25")
@_folder_argument
@_files_option
@click.option(
    "--subset", type=_positive, default=20_000, show_default=True, help="Files for the peers that hold all in memory."
)
@_queries_option
@_limit_option
@json_option
def bm25_command(folder: Path, files: int | None, subset: int, queries: int, limit: int, *, as_json: bool) -> None:
    """Compare bm25 with tantivy-py, rank_bm25 and bm25s on the text files in FOLDER.

    Exit status 1 when the scores are not rank_bm25's.
    """
    asked = Bm25Comparison(folder, files, subset, queries, limit)
    _run(lambda workplace, show: compare_bm25(asked, workplace, show), as_json=as_json)


@bench_command.command("native")
@_folder_argument
@_files_option
@_queries_option
@_limit_option
@json_option
def native_command(folder: Path, files: int | None, queries: int, limit: int, *, as_json: bool) -> None:
    """Compare native with ripgrep on the text files in FOLDER.

    Exit status 1 when they find different documents.
    """
    asked = NativeComparison(folder, files, queries, limit)
    _run(lambda workplace, show: compare_native(asked, workplace, show), as_json=as_json)


def _run(compare: Callable[[Path, Progress], Report], *, as_json: bool) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="embed-search-bench-") as workplace,
        step_bars(Console(stderr=True)) as show,
    ):
        report = compare(Path(workplace), show)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        _show(report, Console())
    if not report.agrees:
        sys.exit(1)


def _show(report: Report, console: Console) -> None:
    machine = report.machine
    console.print(_index_table(report.rows))
    console.print()
    console.print(_search_table(report.rows))
    console.print(f"{report.queries} queries, {report.limit} hits each; ratio: its median, ours being 1", style="dim")
    console.print(f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}", style="dim")
    for line in [*map(_verdict, report.agreements), *report.notes]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _index_table(rows: Sequence[Row]) -> Table:
    table = _table("index", "files", "MB", "seconds", "MB/s core", "size MB", "/text", "reader MB")
    for row in rows:
        if row.index:
            table.add_row(row.engine, f"{row.documents:,}", *_index_cells(row.index))
    return table


def _search_table(rows: Sequence[Row]) -> Table:
    table = _table("search", "files", "median ms", "p99 ms", "ratio")
    for row in rows:
        times = _number(row.median_ms, 3), _number(row.p99_ms, 3), _number(row.ratio, 2)
        table.add_row(row.engine, f"{row.documents:,}", *times)
    return table


def _table(subject: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column(subject, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _index_cells(index: IndexFigures) -> list[str]:
    sizes = [_number(each, 1) for each in (index.text_mb, index.seconds, index.mb_per_core_second, index.size_mb)]
    return [*sizes, _number(index.size_to_text, 2), _number(index.reader_mb, 1)]


def _number(value: float | None, digits: int) -> str:
    return _NOTHING if value is None else f"{value:,.{digits}f}"


def _verdict(agreement: Agreement) -> str:
    subject = f"{agreement.what} against {agreement.peer}, {agreement.queries} queries"
    if not agreement.differing:
        return f"agree: {subject}"
    return f"DIFFER: {subject}: {agreement.differing} differ, such as {', '.join(map(repr, agreement.examples))}"
