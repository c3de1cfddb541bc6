"""`embed-search bench soak`: the whole system under a constant load, held against what a release must hold."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table

from infra.bench.machine import this_machine
from infra.bench.soak.client import Span
from infra.bench.soak.criteria import Criterion, judge, passes
from infra.bench.soak.findings import Stretch
from infra.bench.soak.plan import SoakPlan
from infra.bench.soak.report import REPORT_FILE, Circumstances, render
from infra.bench.soak.soak import SPANS_FILE, Soak
from infra.cli.bars import step_bars
from infra.cli.failure import CommandFailed
from infra.cli.options import json_option
from infra.local.system import LocalSystem, local_system
from infra.setup.artifacts import Artifacts, cache_directory
from infra.supervisor.ports import LOOPBACK, free_port
from streams.settings import METHODS, STORE_FIELDS, Settings, load_settings

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smh])")
_OPEN_TO_ALL: Final = ("keys_file", "anonymous_scopes", "key_rate", "address_rate", "indexer_port")
_STYLES: Final = {"holds": "green", "does not hold": "red", "cannot be judged": "yellow"}

Draw = Callable[[Path, Sequence[Span], Sequence[Stretch]], dict[str, str]]

_rate = click.FloatRange(min=0.1, max=10_000)


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - as click has it
        """Seconds of `90s`, `20m` or `24h`."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(str(value))
        if found is None or not (seconds := float(found[1]) * _UNITS[found[2]]):
            self.fail(f"{value!r} is no duration such as 90s, 20m or 24h", param, ctx)
        return seconds


@click.command("soak")
@click.option("--duration", type=_Duration(), default="24h", show_default=True, help="Of the constant load.")
@click.option("--rate", type=_rate, default=100.0, show_default=True, help="Searches a second.")
@click.option("--changes", type=_rate, default=5.0, show_default=True, help="Documents changed a second.")
@click.option(
    "--ab-requests", type=click.IntRange(1), default=100_000, show_default=True, help="Requests of ApacheBench."
)
@click.option("--ab-concurrency", type=click.IntRange(1), default=100, show_default=True, help="Of them at a time.")
@click.option(
    "--burst-seconds",
    type=click.FloatRange(min=1),
    default=10.0,
    show_default=True,
    help="Of each try to find the highest rates.",
)
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dist/validation"),
    show_default=True,
    help="Folder for report, plots and samples.",
)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Keep the system's data there [gone]."
)
@click.option("--documents", type=click.IntRange(min=100), help="Of the sample corpus to load [all].")
@json_option
def soak_command(  # noqa: PLR0913 - the options of a command
    *,
    duration: float,
    rate: float,
    changes: float,
    ab_requests: int,
    ab_concurrency: int,
    burst_seconds: float,
    report: Path,
    data_dir: Path | None,
    documents: int | None,
    as_json: bool,
) -> None:
    """Run the whole system under a constant load, and report whether it holds what a release must.

    It starts a system of its own with the sample corpus, runs `ab` and then searches, while documents change. Exit
    status 1 unless all that is required holds; memory cannot be judged in less than an hour.
    """
    plan = SoakPlan(duration, rate, changes, ab_requests, ab_concurrency, burst_seconds, documents)
    draw = _plots()
    report.mkdir(parents=True, exist_ok=True)
    circumstances = Circumstances(
        this_machine(), version("embed-search"), datetime.now(UTC).replace(microsecond=0), os.getloadavg()[0]
    )
    with _system(data_dir) as system, step_bars(Console(stderr=True)) as show:
        results = asyncio.run(Soak(system, plan, report, show).run())
    criteria = judge(plan, results)
    spans = [msgspec.json.decode(line, type=Span) for line in (report / SPANS_FILE).read_bytes().splitlines()]
    pictures = draw(report, spans, results.findings.stretches)
    (report / REPORT_FILE).write_text(render(plan, circumstances, criteria, results, pictures))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(criteria)))
    else:
        _show(criteria, report / REPORT_FILE)
    if not passes(criteria):
        sys.exit(1)


def _plots() -> Draw:
    """What draws the plots, looked for before hours are spent."""
    try:
        from infra.bench.soak.plots import draw  # noqa: PLC0415 - needs what only a checkout has
    except ImportError as exc:
        raise CommandFailed(f"the plots need matplotlib, which `make setup` installs in a checkout: {exc}") from exc
    return draw


@contextmanager
def _system(data_dir: Path | None) -> Iterator[LocalSystem]:
    """A whole system on free ports, with stores of its own and open to all of this machine, whatever is set."""
    fields = Settings.model_fields
    defaults = {name: fields[name].default for name in (*STORE_FIELDS, *_OPEN_TO_ALL)}
    with tempfile.TemporaryDirectory(prefix="embed-search-soak-") as folder:
        own = {"data_dir": data_dir or Path(folder), "host": LOOPBACK, "port": free_port(), "indexes": METHODS}
        settings = load_settings().model_copy(update=defaults | own)
        with local_system(settings, Artifacts(cache_directory(os.environ))) as system:
            yield system


def _show(criteria: Sequence[Criterion], report: Path) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("criterion", "limit", "measured", ""):
        table.add_column(heading)
    for each in criteria:
        table.add_row(each.title, each.limit, each.measured, f"[{_STYLES[each.verdict]}]{each.verdict}[/]")
    console = Console()
    console.print(table)
    console.print(f"report: {report}", markup=False, highlight=False, soft_wrap=True)
