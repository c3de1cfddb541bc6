"""`embed-search search`: a table of hits with what matched in bold."""

import html
import re
from collections.abc import Sequence
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.errors import InvalidRequest
from api.messages.filters import FilterValue, comma_separated, from_texts
from infra.cli.client import ApiClient
from infra.cli.explanation import explanation_tree
from infra.cli.options import json_option, url_option

_MARK: Final = re.compile(r"<mark>(.*?)</mark>", re.DOTALL)


@click.command("search")
@click.argument("query")
@click.option("--methods", help="Methods to ask, separated by commas; all that run, if left out.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only documents with one of these values, separated by commas, in source, tags, language or metadata.NAME; "
    "published_at.gte, .gt, .lte and .lt are bounds. May be repeated.",
)
@click.option("--explain", is_flag=True, help="Show how the score of each hit comes about.")
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Hits to show.")
@url_option
@json_option
def search_command(
    query: str, methods: str | None, filters: tuple[str, ...], limit: int, *, explain: bool, url: str, as_json: bool
) -> None:
    """Search for QUERY and show the best hits."""
    request: dict[str, Any] = {"query": query, "limit": limit, "explain": explain}
    if methods is not None:
        request["methods"] = comma_separated(methods)
    if filters:
        request["filters"] = msgspec.to_builtins(_filters(filters))
    with ApiClient(url) as api:
        answer = api.search(request)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answer)))
    else:
        _show(answer, Console())


def _filters(options: Sequence[str]) -> dict[str, FilterValue]:
    texts: dict[str, str] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or name in texts:
            raise click.BadParameter("must read like source=kernel, each field once", param_hint="--filter")
        texts[name] = text
    try:
        return from_texts(texts)
    except InvalidRequest as exc:
        raise click.BadParameter(str(exc), param_hint="--filter") from exc


def _show(answer: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("document", overflow="fold", style="bold")
    table.add_column("found by", style="cyan")
    table.add_column("snippet", overflow="fold")
    for rank, hit in enumerate(answer["results"], 1):
        title = hit["title"] or hit["id"]
        table.add_row(str(rank), title, _found_by(hit["methods"]), _marked(hit["snippet"]))
    console.print(table)
    for rank, hit in enumerate(answer["results"], 1):
        if hit["explanation"] is not None:
            console.print(explanation_tree(f"{rank}. {hit['title'] or hit['id']}", hit["explanation"]))
    console.print(_summary(answer), style="dim")
    for hit in answer["results"]:
        if hit.get("error"):
            console.print(f"{hit['id']}: {hit['error']}", style="yellow")
    for method, backend in answer["backends"].items():
        if backend["status"] != "ok":
            console.print(f"{method}: {backend['status']} {backend.get('error') or ''}".rstrip(), style="yellow")


def _found_by(methods: dict[str, Any]) -> str:
    return " ".join(f"{method}:{found['rank']}" for method, found in methods.items())


def _summary(answer: dict[str, Any]) -> str:
    more = "at least " if answer["total_relation"] == "gte" else ""
    partial = ", partial answer" if answer["partial"] else ""
    return f"{more}{answer['total']} documents in {answer['duration_ms']:.1f} ms{partial}"


def _marked(snippet: str) -> Text:
    """A snippet's HTML as terminal text: what was marked becomes bold."""
    text = Text()
    for index, part in enumerate(_MARK.split(" ".join(snippet.split()))):
        text.append(html.unescape(part), style="bold green" if index % 2 else "")
    return text
