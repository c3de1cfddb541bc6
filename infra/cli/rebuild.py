"""`embed-search rebuild`: a new generation from the start of the topic, proved, and put live without downtime."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console

from indexer.priority import LOWEST_PRIORITY, step_back
from indexer.query_sample import QuerySample
from indexer.rebuild.options import GateBounds, Promotion
from indexer.rebuild.phases import RebuildRecord
from indexer.registry import open_catalogue
from indexer.reports.rebuilding import RebuildOutcome
from indexer.resources import MemoryGuard, memory_limit, watched
from infra.cli.bars import StepBars, step_bars
from infra.cli.generations import placed
from infra.cli.options import json_option, url_option
from infra.cli.session import lead_own_session
from infra.cli.source import topic_address
from infra.rebuild.gate import Gate
from infra.rebuild.golden import GoldenQueries, read_golden
from infra.rebuild.work import Rebuild
from infra.verification.address import TopicAddress
from streams.logs import configure_logs
from streams.settings import METHODS, SEMANTIC, Settings, load_settings

_defaults: Final = GateBounds()


@click.command("rebuild")
@click.argument("names", nargs=-1, required=True, type=click.Choice([*METHODS, "all"]))
@click.option("--model", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="GGUF for `semantic`.")
@click.option("--promote", type=click.Choice(["auto", "manual"]), default="auto", show_default=True)
@click.option(
    "--golden", type=click.Path(path_type=Path), help='Golden queries, NDJSON: {"query": …, "relevant": {id: grade}}.'
)
@click.option("--no-sample", is_flag=True, help="Ask no sample of recent searches where no golden queries are given.")
@click.option("--min-overlap", type=click.FloatRange(0, 1), default=_defaults.min_overlap, show_default=True)
@click.option("--max-ndcg-drop", type=click.FloatRange(0, 1), default=_defaults.max_ndcg_drop, show_default=True)
@click.option("--max-latency-ratio", type=click.FloatRange(1), default=_defaults.max_latency_ratio, show_default=True)
@url_option
@json_option
def rebuild_command(  # noqa: PLR0913 - the options of a command
    *,
    names: tuple[str, ...],
    model: Path | None,
    promote: Promotion,
    golden: Path | None,
    no_sample: bool,
    min_overlap: float,
    max_ndcg_drop: float,
    max_latency_ratio: float,
    url: str,
    as_json: bool,
) -> None:
    """Build the indexes NAMES (or `all`) anew from the topic, under the settings as they are now, beside live traffic.

    Each new generation must hold what the topic says, document by document, and answer the golden queries, or else a
    sample of recent searches, about as the live one does. Then it is put live at once, or waits for `promote`. Killed,
    the same command goes on where it was. Run it where the indexes lie: its EMBED_SEARCH_DATA_DIR must be that of the
    indexers. Exit status 1 if a generation is refused; it stays, not live, until the next rebuild.
    """
    lead_own_session()
    step_back(LOWEST_PRIORITY)  # searches have all of the processor that they want
    settings = load_settings(model_path=model)
    configure_logs("warning")
    if model is not None and not {SEMANTIC, "all"} & set(names):
        raise click.UsageError(f"--model is for {SEMANTIC}, which is not to be rebuilt")
    chosen = settings.indexes if "all" in names else tuple(dict.fromkeys(names))
    bounds = GateBounds(min_overlap, max_ndcg_drop, max_latency_ratio)
    queries = _queries(settings, golden, sample=not no_sample)
    address = topic_address(url, settings)
    placing = placed(settings, chosen)
    with step_bars(Console(stderr=True)) as show:
        outcomes = asyncio.run(_rebuild(chosen, placing, address, bounds, queries, promote, show))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(outcomes)))
    else:
        for outcome in outcomes:
            _show(outcome)
    if not all(outcome.verdict.passed for outcome in outcomes):
        sys.exit(1)


def _queries(settings: Settings, golden: Path | None, *, sample: bool) -> GoldenQueries:
    if golden is not None:
        return GoldenQueries(read_golden(golden))
    recent = QuerySample(settings.data_dir).queries() if sample else []
    return GoldenQueries(recent, sampled=bool(recent))


async def _rebuild(
    names: Sequence[str],
    settings: Settings,
    address: TopicAddress,
    bounds: GateBounds,
    queries: GoldenQueries,
    promotion: Promotion,
    show: StepBars,
) -> list[RebuildOutcome]:
    """One after the other, so that what they take from searches does not add up."""
    memory = MemoryGuard(memory_limit(settings.memory_limit_bytes))
    servers = address.kafka if isinstance(address.kafka, str) else address.kafka.bootstrap_servers
    pointed = settings.model_copy(update={"kafka_bootstrap_servers": servers, "topic": address.topic})
    outcomes = []
    async with watched(memory):
        for name in names:
            gate = Gate(name, pointed, address, bounds, queries, show.say)
            async with open_catalogue(name, pointed) as catalogue:
                rebuild = Rebuild(catalogue, pointed, gate, memory, promotion, _shown(name, show))
                outcomes.append(await rebuild.run())
    return outcomes


def _shown(name: str, show: StepBars) -> Callable[[RebuildRecord], None]:
    return lambda record: show(name, record.read / record.total if record.total else 1.0)


def _show(outcome: RebuildOutcome) -> None:
    verdict = outcome.verdict
    state = "is live" if outcome.promoted else "is ready: embed-search promote" if verdict.passed else "is refused"
    documents = f"{verdict.comparison.documents:,} documents in {outcome.seconds:.1f} s"
    click.echo(f"{outcome.index} {outcome.generation} {state} ({documents})")
    if (golden := verdict.golden) is not None:
        click.echo(
            f"  {golden.queries} golden queries: overlap {golden.overlap:.2f}, median {golden.live_ms:.1f} ms before,"
            f" {golden.new_ms:.1f} ms now"
        )
        if golden.judged:
            click.echo(f"  nDCG@10 {golden.live_ndcg:.3f} before, {golden.new_ndcg:.3f} now ({golden.judged} judged)")
    for line in (*verdict.reasons, *verdict.notes):
        click.echo(f"  {line}")
