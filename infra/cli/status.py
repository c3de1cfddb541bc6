"""`embed-search status`: what each index holds and how far behind it is."""

from collections.abc import Iterator
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
    """Show each index: live generation, documents, lag, breaker, size and watermark.

    With a key of the scope admin, also its other generations, and how far a rebuild is.
    """
    with ApiClient(url) as api:
        health, indexes = api.health(), api.indexes()
    if as_json:
        told = health if indexes is None else health | {"indexes": indexes}
        click.echo(msgspec.json.format(msgspec.json.encode(told)))
    else:
        _show(health, indexes or {}, Console())


def _show(health: dict[str, Any], indexes: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in ("index", "status", "generation"):
        table.add_column(column)
    for column in ("documents", "lag", "size"):
        table.add_column(column, justify="right")
    for column in ("breaker", "watermark"):
        table.add_column(column)
    for name, component in health["components"].items():
        if name in METHODS:
            table.add_row(name, *_row(component))
    console.print(f"[{_COLORS[health['status']]}]{health['status']}[/]")
    console.print(table)
    for name, component in health["components"].items():
        if component["status"] != "healthy" and component["message"]:
            console.print(f"{name}: {component['message']}", style="yellow", markup=False)
    for name, index in indexes.items():
        for line in _generations(index):
            console.print(f"{name}: {line}", markup=False, highlight=False)


def _generations(index: dict[str, Any]) -> Iterator[str]:
    """What there is to say of the generations that are not live."""
    if index["previous"]:
        yield f"{index['previous']['name']} is there to go back to"
    for each in index["candidates"]:
        progress = each["rebuild"]
        if each["phase"] == "ready":
            yield f"{each['name']} waits to be promoted"
        elif each["phase"] == "refused":
            yield f"{each['name']} was refused: {'; '.join(progress['reasons']) if progress else 'nobody knows why'}"
        elif progress and progress["working"]:
            yield f"{each['name']} is being filled, {_progress(progress)}"
        else:
            yield f"{each['name']} was left half filled; the next rebuild goes on with it"


def _progress(progress: dict[str, Any]) -> str:
    share = progress["read"] / progress["total"] if progress["total"] else 1.0
    left = progress["seconds_left"]
    rate = f", {progress['per_second']:,.0f} offsets/s" if progress["per_second"] else ""
    return f"step {progress['step']}: {share:.0%} read{rate}{'' if left is None else f', {left:,.0f} s left'}"


def _row(component: dict[str, Any]) -> tuple[str, ...]:
    details = component.get("details") or {}
    status = f"[{_COLORS[component['status']]}]{component['status']}[/]"
    if "documents" not in details:
        return (status, "", "", "", "", "", "")
    lag = details.get("lag")
    return (
        status,
        details["generation"],
        f"{details['documents']:,}",
        "?" if lag is None else f"{sum(lag.values()):,}",
        _size(details["size_bytes"]),
        details.get("breaker", ""),
        " ".join(f"{p}:{offset}" for positions in details["watermark"].values() for p, offset in positions.items()),
    )


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000:  # noqa: PLR2004 - SI units, as disks are sold
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} TB"
