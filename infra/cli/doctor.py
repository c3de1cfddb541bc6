"""`embed-search doctor`: looks at everything the system needs and says how to mend what is wrong."""

import asyncio
import os
import sys

import click
import msgspec
from rich.console import Console
from rich.table import Table

from infra.cli.options import json_option
from infra.diagnosis.checks import Finding, examine
from infra.setup.artifacts import Artifacts, cache_directory
from streams.settings import load_settings

_COLORS = {"ok": "green", "warning": "yellow", "broken": "red"}


@click.command("doctor")
@json_option
def doctor_command(*, as_json: bool) -> None:
    """Check every dependency and setting, and say how to mend what is wrong."""
    settings = load_settings()
    findings = asyncio.run(examine(settings, Artifacts(cache_directory(os.environ))))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings)))
    else:
        _show(findings)
    if any(finding.verdict == "broken" for finding in findings):
        sys.exit(1)


def _show(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False, show_header=False)
    for finding in findings:
        mend = f" [dim]→ {finding.mend}[/]" if finding.mend else ""
        table.add_row(f"[{_COLORS[finding.verdict]}]{finding.verdict}[/]", finding.subject, finding.detail + mend)
    Console().print(table)
