"""A real Prometheus beside a real API: what is configured is scraped, and every rule and graph can be computed."""

import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from infra.grafana.pages import DASHBOARDS, DIRECTORY
from infra.supervisor.ports import free_port
from tests.delivery.manifests import ROOT, documents
from tests.system.processes import program
from tests.system.waiting import until

PROMETHEUS = ROOT / "infra" / "prometheus"
STOP_SECONDS = 30.0


class Watched:
    """Prometheus, and what it was told to scrape."""

    def __init__(self, port: int, api: int) -> None:
        self.api = httpx.AsyncClient(base_url=f"http://127.0.0.1:{api}", timeout=10, trust_env=False)
        self._prometheus = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10, trust_env=False)

    async def ask(self, path: str, **parameters: str) -> Any:
        """One of Prometheus' answers."""
        answer = await self._prometheus.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def value(self, expression: str) -> float | None:
        """What an expression of one series is now."""
        result = (await self.ask("/query", query=expression))["result"]
        return float(result[0]["value"][1]) if result else None

    async def close(self) -> None:
        """Close the connections."""
        await self.api.aclose()
        await self._prometheus.aclose()


def _configuration(directory: Path, targets: dict[str, int]) -> Path:
    """Ours, but for the addresses and the pace."""
    configuration = documents(PROMETHEUS / "prometheus.yml")[0]
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(PROMETHEUS / pattern) for pattern in configuration["rule_files"]]
    (job,) = configuration["scrape_configs"]
    for static in job["static_configs"]:
        places = {target.partition(":")[0] for target in static["targets"]}
        static["targets"] = [f"127.0.0.1:{targets[place]}" for place in sorted(places & targets.keys())]
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    return file


@contextmanager
def _prometheus(directory: Path, targets: dict[str, int]) -> Iterator[int]:
    port = free_port()
    options = {
        "config.file": str(_configuration(directory, targets)),
        "storage.tsdb.path": str(directory / "series"),
        "web.listen-address": f"127.0.0.1:{port}",
    }
    argv = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ))
    try:
        yield port
    finally:
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0


@pytest.fixture
def started(kafka_bootstrap: str, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The ports of a Prometheus and of an API, beside an indexer."""
    api, indexer = free_port(), free_port()
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "EMBED_SEARCH_DATA_DIR": str(tmp_path / "data"),
        "EMBED_SEARCH_TOPIC": "watched",
        "EMBED_SEARCH_INDEXES": "bm25",
        "EMBED_SEARCH_PORT": str(api),
        "EMBED_SEARCH_WORKERS": "1",
        "EMBED_SEARCH_BATCH_AGE_MS": "100",
        "EMBED_SEARCH_INDEXER_PORT": str(indexer),
        "EMBED_SEARCH_DISK_FREE_BYTES": "0",
    }
    with ExitStack() as stack:
        stack.enter_context(program(["index", "bm25"], environment, tmp_path / "index.log"))
        stack.enter_context(program(["api"], environment, tmp_path / "api.log"))
        yield stack.enter_context(_prometheus(tmp_path, {"api": api, "index-bm25": indexer})), api


@pytest.fixture
async def watched(started: tuple[int, int]) -> AsyncIterator[Watched]:
    """Connections to both."""
    watched = Watched(*started)
    yield watched
    await watched.close()


async def test_everything_that_is_watched_can_be_computed(watched: Watched) -> None:
    """Targets are up, no rule fails, each graph is a valid question, and searches and documents are in the figures."""

    async def indexed() -> bool:
        return await watched.value('embed_search_index_operations_total{operation="upsert"}') == 1

    async def serves() -> bool:
        try:
            return (await watched.api.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    async def answers() -> bool:
        try:
            return await watched.value('sum(up{job="embed-search"})') == 2
        except httpx.TransportError:
            return False

    await until(serves, "the API is ready")
    published = await watched.api.post("/documents", json={"id": "a", "body": "a word"})
    assert published.status_code == 202
    await until(answers, "Prometheus scrapes both")
    await until(indexed, "the indexer tells of the document")

    async def searched() -> bool:
        assert (await watched.api.get("/search?q=word")).status_code == 200
        return await watched.value("embed_search:search_error_ratio:rate5m") == 0

    await until(searched, "searches are in the objectives")
    targets = (await watched.ask("/targets"))["activeTargets"]
    assert {(each["labels"]["component"], each["health"]) for each in targets} == {("search", "up"), ("indexer", "up")}
    rules = [rule for group in (await watched.ask("/rules"))["groups"] for rule in group["rules"]]
    assert len(rules) > 30
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] == "err"} == {}
    for dashboard in DASHBOARDS:
        for panel in json.loads((DIRECTORY / f"{dashboard.uid}.json").read_text())["panels"]:
            for target in panel["targets"]:
                await watched.ask("/query", query=target["expr"].replace("$instance", ".*"))
    firing = await watched.ask("/query", query='ALERTS{alertstate="firing", alertname!="EmbedSearchDiskShort"}')
    assert firing["result"] == []
    assert await watched.value("embed_search_index_documents") == 1
