"""`embed-search verify`: whether the indexes on this machine are what was written, and score as they should."""

import sys
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console

from indexer.registry import LOCAL_ENGINES
from infra.cli.options import json_option
from infra.verification.deep import IndexReport, check_deep
from streams.settings import load_settings

_SHOWN = 10


@click.command("verify")
@click.argument("names", nargs=-1, type=click.Choice(sorted(LOCAL_ENGINES)))
@click.option("--deep", is_flag=True, required=True, help="Read every file through; the one check there is so far.")
@click.option(
    "--sample", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Documents to score by rank_bm25."
)
@json_option
def verify_command(*, names: tuple[str, ...], deep: bool, sample: int, as_json: bool) -> None:
    """Check the indexes NAMES in EMBED_SEARCH_DATA_DIR; all that the settings list, if none is named.

    Every file of bm25, tantivy and native is held against its checksums, and scores of bm25 against rank_bm25. Writers
    and searches may go on meanwhile. Exit status 1 when something is wrong.
    """
    del deep
    settings = load_settings()
    chosen = names or tuple(name for name in settings.indexes if name in LOCAL_ENGINES)
    with Console(stderr=True).status("verifying") as status:
        reports = check_deep(settings, chosen, sample=sample, on_step=status.update)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(reports)))
    else:
        _show(reports)
    if not all(report.sound for report in reports):
        sys.exit(1)


def _show(reports: Sequence[IndexReport]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        verdict = "[green]sound[/]" if report.sound else "[red]damaged[/]"
        console.print(f"{report.index} {report.generation}: {verdict}")
        for reason in report.damage:
            console.print(f"  {reason}", markup=False)
        if report.scores is not None:
            _show_scores(report, console)


def _show_scores(report: IndexReport, console: Console) -> None:
    audit = report.scores
    if audit is None:
        return
    wrong = len(audit.disagreements)
    console.print(f"  {audit.scores} scores of {audit.queries} queries compared with rank_bm25: {wrong} differ")
    for each in audit.disagreements[:_SHOWN]:
        console.print(f"  {each.query!r}: {each.id} has {each.score}, not {each.expected}", markup=False)
