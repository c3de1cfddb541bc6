"""Jobs that the API orders, carried out by real indexers on a real Kafka."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from indexer.halt_notes import HaltNotes
from indexer.jobs.board import JobBoard
from indexer.query_sample import QuerySample
from indexer.rebuild.phases import Phase
from indexer.registry import open_catalogue
from streams.settings import Settings
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.infra.rebuild.test_rebuild import environment, generations, publish, until_holds
from tests.streams.kafka import make_topics, produce
from tests.system.processes import Program, lives, program
from tests.system.waiting import until

INDEX = "native"


@pytest.fixture
async def settings(kafka_bootstrap: str, tmp_path: Path) -> Settings:
    """A topic and a data directory of the test's own; no index needs PostgreSQL."""
    given = {
        "kafka_bootstrap_servers": kafka_bootstrap,
        "data_dir": tmp_path / "data",
        "topic": await make_topics(kafka_bootstrap),
        "indexes": (INDEX,),
        "batch_documents": 20,
        "batch_age_ms": 100,
    }
    return Settings.model_validate(given, by_name=True)


@contextmanager
def indexing(settings: Settings, tmp_path: Path, **more: str) -> Iterator[Program]:
    """The indexer, as a process."""
    with program(["index", INDEX], environment(settings, **more), tmp_path / "indexer.log") as started:
        yield started


@asynccontextmanager
async def asking(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The API, whose catalogue is the real one."""
    async with open_catalogue(INDEX, settings) as catalogue:
        services = make_services(
            {INDEX: FakeBackend()},
            generations={INDEX: lambda _: catalogue.generations()},
            bootstrap_servers=str(settings.kafka_bootstrap_servers),
            swap_seconds=20.0,
            data_dir=settings.data_dir,
            topic=settings.topic,
        )
        async with running(services) as client:
            yield client


async def ordered(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    """Order one job."""
    answer = await client.post(path, json=body)
    assert answer.status_code == 202, answer.text
    (job,) = next(iter(answer.json().values()))
    told: dict[str, Any] = job
    return told


async def ended(client: httpx.AsyncClient, path: str, job: dict[str, Any]) -> dict[str, Any]:
    """A job once it has ended."""
    told: dict[str, Any] = {}

    async def is_over() -> bool:
        told.update((await client.get(f"{path}/{job['id']}")).json())
        return told["state"] not in {"waiting", "running"}

    await until(is_over, f"the end of {job}")
    return told


async def attended(client: httpx.AsyncClient) -> bool:
    """Whether the indexer takes orders."""
    told: bool = (await client.get("/admin/indexes")).json()["indexes"][INDEX]["attended"]
    return told


async def test_an_index_is_rebuilt_swapped_and_verified_over_http(settings: Settings, tmp_path: Path) -> None:
    """As the commands would, with what the gate and the comparison found."""
    await publish(settings, *((f"d{n}", f"rudder number {n}") for n in range(30)))
    QuerySample(settings.data_dir).add(["rudder", "number 7"])
    with indexing(settings, tmp_path) as indexer:
        async with asking(settings) as client:
            await until_holds(INDEX, settings, None, "d29")
            await until(lambda: attended(client), "an indexer that takes orders", 20)
            rebuild = await ordered(
                client, "/admin/rebuilds", indexes=[INDEX], promote="manual", max_latency_ratio=1_000
            )
            done = await ended(client, "/admin/rebuilds", rebuild)
            assert done["state"] == "done", done
            verdict = done["outcome"]["verdict"]
            assert (verdict["reasons"], verdict["comparison"]["documents"]) == ([], 30)
            assert (verdict["golden"]["queries"], verdict["golden"]["overlap"]) == (2, 1.0)
            assert "2 recent searches" in verdict["notes"][0]
            assert Phase.READY in await generations(INDEX, settings)
            swapped = await client.post(f"/admin/indexes/{INDEX}/promote", json={})
            assert swapped.json() == {"index": INDEX, "live": "g000002", "previous": "g000001"}
            for live, previous in (("g000001", "g000002"), ("g000002", "g000001")):
                back = await client.post(f"/admin/indexes/{INDEX}/rollback", json={})
                assert back.json() == {"index": INDEX, "live": live, "previous": previous}
            found = await ended(client, "/admin/verify", await ordered(client, "/admin/verify", indexes=[INDEX]))
            assert (found["sound"], found["comparison"]["documents"]) == (True, 30)
            deep = await ended(client, "/admin/verify", await ordered(client, "/admin/verify", deep=True))
            assert (deep["sound"], deep["files"]["generation"]) == (True, "g000002")
        assert indexer.stop() == 0, indexer.output
    assert not JobBoard(settings.data_dir).attended(INDEX)


async def test_what_fails_says_why(settings: Settings, tmp_path: Path) -> None:
    """The last line of the command is the message, and nothing else ends with it."""
    await publish(settings, ("d0", "rudder"))
    with indexing(settings, tmp_path) as indexer:
        async with asking(settings) as client:
            await until_holds(INDEX, settings, None, "d0")
            async with open_catalogue(INDEX, settings) as catalogue, catalogue.rebuilding():
                done = await ended(client, "/admin/rebuilds", await ordered(client, "/admin/rebuilds", indexes=[INDEX]))
            assert (done["state"], "another process holds" in done["message"]) == ("failed", True)
            assert await attended(client)
        assert indexer.stop() == 0, indexer.output


async def test_a_rebuild_is_followed_cancelled_and_goes_on_after_a_kill(settings: Settings, tmp_path: Path) -> None:
    """No child outlives its indexer; what was running is taken up again, and a cancelled one leaves nothing running."""
    await publish(settings, *((f"d{n}", f"rudder number {n}") for n in range(1_400)))
    slow = {"EMBED_SEARCH_REBUILD_SHARE": "0.01"}
    async with asking(settings) as client:
        with indexing(settings, tmp_path, **slow) as indexer:
            await until_holds(INDEX, settings, None, "d1399")
            job = await ordered(client, "/admin/rebuilds", indexes=[INDEX])

            async def reads() -> bool:
                told = (await client.get(f"/admin/rebuilds/{job['id']}")).json()
                progress = told["progress"] or {"read": 0, "total": 0}
                return bool(told["state"] == "running" and 0 < progress["read"] < progress["total"])

            await until(reads, "a replay under way")
            children = psutil.Process(indexer.pid).children(recursive=True)
            assert any("rebuild" in child.cmdline() for child in children)
            indexer.kill()

            async def are_gone() -> bool:
                return not any(map(lives, children))

            await until(are_gone, "the end of its children", 20)
        with indexing(settings, tmp_path, **slow) as indexer:

            async def goes_on() -> bool:
                told = (await client.get(f"/admin/rebuilds/{job['id']}")).json()
                return (told["state"], told["attempts"]) == ("running", 2)

            await until(goes_on, "the job taken up again")
            assert (await client.delete(f"/admin/rebuilds/{job['id']}")).json()["state"] == "running"
            assert (await ended(client, "/admin/rebuilds", job))["state"] == "cancelled"
            again = await ordered(client, "/admin/rebuilds", indexes=[INDEX])
            assert list(await generations(INDEX, settings)) == [Phase.LIVE, Phase.REPLAYING]
            assert indexer.stop() == 0, indexer.output
        left = (await client.get(f"/admin/rebuilds/{again['id']}")).json()
        assert left["state"] == "waiting", "an indexer that is stopped in good order gives its job back"
        with indexing(settings, tmp_path) as indexer:
            assert (await ended(client, "/admin/rebuilds", again))["outcome"]["promoted"] is True
            assert indexer.stop() == 0, indexer.output


async def test_an_indexer_that_halts_says_so_to_the_api(settings: Settings, tmp_path: Path) -> None:
    """And no longer, once it has been told to read on."""
    bad = [(b"d%d" % number, b"not json") for number in range(100)]
    await produce(str(settings.kafka_bootstrap_servers), settings.topic, bad)
    notes = HaltNotes(settings.data_dir)
    with indexing(settings, tmp_path) as indexer:
        async with asking(settings) as client:

            async def is_told() -> bool:
                message: str = (await client.get("/health")).json()["components"][INDEX]["message"]
                return "records are bad" in message

            await until(is_told, "the reason in /health")
            resumed = await client.post("/admin/dead-letters/resume", json={})
            assert resumed.json() == {"indexes": [INDEX], "through": {"0": 100}}

            async def is_over() -> bool:
                return notes.reason(INDEX) is None

            await until(is_over, "an indexer that reads on")
        assert indexer.stop() == 0, indexer.output
