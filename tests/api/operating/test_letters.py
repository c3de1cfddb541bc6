"""Dead letters over HTTP, in a real Kafka."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from indexer.file_lock import FileLock
from indexer.resume_orders import ResumeOrders
from streams.dead_letters import DeadLetter, DeadLetterPublisher
from streams.publisher import RecordProducer
from streams.reader import read_topic
from streams.settings import Settings
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.streams.kafka import make_topics, produce


class Letters:
    """A system with some dead letters."""

    def __init__(self, bootstrap: str, topic: str, client: httpx.AsyncClient, data_dir: Path) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self.client = client
        self.data_dir = data_dir

    async def file(self, count: int, *, error: str = "not-json", index: str = "*") -> None:
        """File letters whose source has nothing newer."""
        producer = RecordProducer(self.bootstrap, client_id="test")
        publisher = DeadLetterPublisher(producer, f"{self.topic}.dlq")
        for number in range(count):
            trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
            await publisher.publish(
                DeadLetter(b"k%d" % number, b"{bad\x1b", self.topic, 0, number, index, error, "reason", trace=trace)
            )
        await producer.close()

    async def page(self, **parameters: Any) -> dict[str, Any]:
        """`GET /admin/dead-letters`."""
        answer = await self.client.get("/admin/dead-letters", params=parameters)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


@pytest.fixture
async def letters(kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[Letters]:
    """A topic of the test's own."""
    topic = await make_topics(kafka_bootstrap)
    services = make_services(
        {"bm25": FakeBackend()}, bootstrap_servers=kafka_bootstrap, topic=topic, data_dir=tmp_path / "data"
    )
    async with running(services) as client:
        yield Letters(kafka_bootstrap, topic, client, tmp_path / "data")


async def test_letters_are_paged_from_the_newest(letters: Letters) -> None:
    """Each once, also when some are chosen; and an empty topic is an empty page."""
    assert await letters.page() == {"letters": [], "before": None}
    await letters.file(5)
    await letters.file(2, error="too-odd", index="bm25")
    first = await letters.page(limit=3)
    assert [each["position"] for each in first["letters"]] == ["0:6", "0:5", "0:4"]
    assert first["before"] == "0:4"
    second = await letters.page(limit=4, before=first["before"])
    assert ([each["position"] for each in second["letters"]], second["before"]) == (["0:3", "0:2", "0:1", "0:0"], None)
    assert [each["position"] for each in (await letters.page(error="not-json", limit=2))["letters"]] == ["0:4", "0:3"]
    chosen = (await letters.page(index="bm25"))["letters"]
    assert [(each["error"], each["source"]["offset"]) for each in chosen] == [("too-odd", 1), ("too-odd", 0)]


async def test_a_letter_is_shown_whole(letters: Letters) -> None:
    """With its value, its reason and its trace; one that is not there is not."""
    await letters.file(1)
    told = (await letters.client.get("/admin/dead-letters/0:0")).json()
    assert (told["value"], told["key"], told["bytes"], told["reason"]) == ("{bad\\x1b", "k0", 5, "reason")
    assert told["trace"]["traceparent"].startswith("00-4bf9")
    for position, status in (("0:1", 404), ("7:0", 404), ("first", 400)):
        answer = await letters.client.get(f"/admin/dead-letters/{position}")
        assert answer.status_code == status
    assert answer.json()["field"] == "position"


async def test_letters_are_replayed_and_purged(letters: Letters) -> None:
    """Never over a newer version; a dry run publishes nothing; what is purged is gone."""
    await letters.file(3)
    await produce(letters.bootstrap, letters.topic, [(b"other", b"{}"), (b"other", b"{}"), (b"other", b"{}")])
    await produce(letters.bootstrap, letters.topic, [(b"k2", b'{"body": "mended"}')])
    foreseen = await _replay(letters, all=True, dry_run=True)
    assert foreseen["replayed"] == ["0:0", "0:1"]
    assert [each["position"] for each in foreseen["skipped"]] == ["0:2"]
    assert len([record async for record in read_topic(letters.bootstrap, letters.topic)]) == 4
    assert (await _replay(letters, positions=["0:1"]))["replayed"] == ["0:1"]
    assert [r.key async for r in read_topic(letters.bootstrap, letters.topic)][-1] == b"k1"
    assert (await letters.client.delete("/admin/dead-letters?through=0:0")).json() == {"purged": 1}
    assert [each["position"] for each in (await letters.page())["letters"]] == ["0:2", "0:1"]
    beyond = await letters.client.delete("/admin/dead-letters?through=0:9")
    assert (beyond.status_code, beyond.json()["field"]) == (400, "through")
    assert (await letters.client.delete("/admin/dead-letters?all=true")).json() == {"purged": 2}
    assert (await letters.page())["letters"] == []


async def test_two_do_not_replay_at_a_time(letters: Letters) -> None:
    """Over all workers: the same letters would be published twice."""
    (letters.data_dir / "jobs").mkdir(parents=True)
    lock = FileLock(letters.data_dir / "jobs" / "dead-letters.lock")
    refused = await letters.client.post("/admin/dead-letters/replay", json={"all": True})
    assert (refused.status_code, "another replay" in refused.json()["detail"]) == (409, True)
    lock.release()
    assert (await _replay(letters, all=True))["replayed"] == []


async def test_an_indexer_that_halted_is_told_to_read_on(letters: Letters) -> None:
    """The order lies where it finds it, and names what is in the topic now."""
    await produce(letters.bootstrap, letters.topic, [(b"k", b"{}")])
    answer = await letters.client.post("/admin/dead-letters/resume", json={})
    assert (answer.status_code, answer.json()) == (200, {"indexes": ["bm25"], "through": {"0": 1}})
    order = ResumeOrders(Settings(data_dir=letters.data_dir), "bm25").newest()
    assert order is not None
    assert (order.topic, order.through) == (letters.topic, {0: 1})


async def _replay(letters: Letters, **request: Any) -> dict[str, Any]:
    answer = await letters.client.post("/admin/dead-letters/replay", json=request)
    assert answer.status_code == 200, json.dumps(answer.json())
    told: dict[str, Any] = answer.json()
    return told
