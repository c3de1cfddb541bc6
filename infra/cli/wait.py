"""`embed-search wait`: until the indexes have read what a token stands for."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click
import msgspec
from rich.console import Console

from infra.cli.client import ApiClient
from infra.cli.failure import CommandFailed
from infra.cli.options import json_option, url_option
from streams.errors import InvalidToken
from streams.settings import METHODS
from streams.watermark import Token, Watermark

_POLL_SECONDS: Final = 0.25


class IndexProgress(msgspec.Struct, frozen=True):
    """How far an index has read.

    Attributes:
        reached: whether everything the token stands for is in it.
        watermark: next offset by partition; none while the index cannot say.
    """

    reached: bool
    watermark: dict[int, int]


class WaitReport(msgspec.Struct, frozen=True):
    """What came of the waiting.

    Attributes:
        reached: whether all indexes have reached the token.
        seconds: that it took.
        indexes: each by its name.
    """

    reached: bool
    seconds: float
    indexes: Mapping[str, IndexProgress]


def _token(ctx: click.Context, param: click.Parameter, value: str) -> Token:
    del ctx, param
    try:
        return Token.decode(value)
    except InvalidToken as exc:
        raise click.BadParameter(str(exc)) from exc


@click.command("wait")
@click.argument("token", callback=_token)
@click.argument("names", nargs=-1, type=click.Choice(METHODS))
@click.option("--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait.")
@url_option
@json_option
def wait_command(*, token: Token, names: tuple[str, ...], timeout: float, url: str, as_json: bool) -> None:
    """Wait until the indexes NAMES, or all that run, have read as far as TOKEN.

    A token is what `publish` and POST /documents answer. Exit status 0 once they have, 1 when they have not in time.
    """
    with ApiClient(url) as api, Console(stderr=True).status("waiting") as status:
        _check_topic(token, api.system()["topic"])
        for report in _reports(api, token, names, timeout):
            status.update(f"waiting for {', '.join(_behind(report))}")
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    if not report.reached:
        raise CommandFailed(_shortfall(report, token))
    if not as_json:
        click.echo(f"reached by {', '.join(report.indexes)} after {report.seconds:.1f} s")


def _check_topic(token: Token, topic: str) -> None:
    if token.topic != topic:
        raise CommandFailed(f"the token is of the topic {token.topic!r}, and the system reads {topic!r}")


def _reports(api: ApiClient, token: Token, names: Sequence[str], timeout: float) -> Iterator[WaitReport]:
    """One report after the other, up to the first that has reached the token, or that comes when the time is up."""
    started = time.monotonic()
    while True:
        indexes = _progress(api.health(), token, names)
        waited = time.monotonic() - started
        report = WaitReport(all(each.reached for each in indexes.values()), round(waited, 3), indexes)
        yield report
        if report.reached or waited >= timeout:
            return
        # Between two looks at a condition that nothing announces.
        time.sleep(min(_POLL_SECONDS, timeout - waited))


def _progress(health: Mapping[str, Any], token: Token, names: Sequence[str]) -> dict[str, IndexProgress]:
    parts = health["components"]
    if absent := [name for name in names if name not in parts]:
        raise CommandFailed(f"the system does not run {', '.join(absent)}")
    chosen = names or [name for name in METHODS if name in parts]
    return {name: _index_progress(parts[name].get("details") or {}, token) for name in chosen}


def _index_progress(details: Mapping[str, Any], token: Token) -> IndexProgress:
    """An index that cannot say how far it has read has not reached anything, an empty token included."""
    offsets = {int(p): offset for p, offset in details.get("watermark", {}).get(token.topic, {}).items()}
    reached = "watermark" in details and Watermark(topic=token.topic, offsets=offsets).reached(token)
    return IndexProgress(reached, offsets)


def _behind(report: WaitReport) -> list[str]:
    return [name for name, progress in report.indexes.items() if not progress.reached]


def _shortfall(report: WaitReport, token: Token) -> str:
    lines = [
        f"{name} has read {_offsets(report.indexes[name].watermark, token)}, not {_offsets(token.offsets, token)}"
        for name in _behind(report)
    ]
    return f"behind after {report.seconds:.1f} s: {'; '.join(lines)}"


def _offsets(offsets: Mapping[int, int], token: Token) -> str:
    return " ".join(f"{p}:{offsets.get(p, 0)}" for p in sorted(token.offsets)) or "nothing"
