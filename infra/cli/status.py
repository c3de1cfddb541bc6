"""`embed-search status`: what each index holds and how far behind it is."""

from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from infra.cli.client import ApiClient
from infra.cli.options import json_option, url_option
from streams.settings import METHODS

_COLORS = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}


@click.command("status")
@url_option
@json_option
def status_command(*, url: str, as_json: bool) -> None:
    """Show each index: live generation, documents, lag, size and watermark."""
    with ApiClient(url) as api:
        health = api.health()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(health)))
    else:
        _show(health, Console())


def _show(health: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("index", "status", "generation"):
        table.add_column(column)
    for column in ("documents", "lag", "size"):
        table.add_column(column, justify="right")
    table.add_column("watermark")
    for name, component in health["components"].items():
        if name in METHODS:
            table.add_row(name, *_row(component))
    console.print(f"[{_COLORS[health['status']]}]{health['status']}[/]")
    console.print(table)
    for name, component in health["components"].items():
        if component["status"] != "healthy" and component["message"]:
            console.print(f"{name}: {component['message']}", style="yellow")


def _row(component: dict[str, Any]) -> tuple[str, ...]:
    details = component.get("details") or {}
    status = f"[{_COLORS[component['status']]}]{component['status']}[/]"
    if "documents" not in details:
        return (status, "", "", "", "", "")
    lag = details.get("lag")
    return (
        status,
        details["generation"],
        f"{details['documents']:,}",
        "?" if lag is None else f"{sum(lag.values()):,}",
        _size(details["size_bytes"]),
        " ".join(f"{p}:{offset}" for positions in details["watermark"].values() for p, offset in positions.items()),
    )


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000:  # noqa: PLR2004 - SI units, as disks are sold
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} TB"
