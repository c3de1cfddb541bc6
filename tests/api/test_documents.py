"""`/documents` over a real Kafka: what is accepted is in the topic, under its key, and the token covers it."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import quote

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from api.services import Services
from streams.publisher import RecordProducer
from streams.tracing import record_carrier
from streams.watermark import Token
from tests.api.application import Json, make_services, running
from tests.api.fakes import FakeBackend, stored
from tests.streams.kafka import make_topics

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
ODD_IDS = ["a", "a/b.txt", "/leading", "trailing/", "a//b", "...", "a?b#c", "100%", "ünï/ćode", "a b", "%2F", "\n"]


class Stream:
    """A topic of a test's own, and services that publish to it."""

    def __init__(self, bootstrap: str, topic: str, services: Services) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self.services = services

    async def records(self, token: str) -> dict[str, Json | None]:
        """What the topic holds up to the token: the last value by key."""
        records = await self.raw(token)
        return {key.decode(): None if value is None else msgspec.json.decode(value) for key, value, _ in records}

    async def raw(self, token: str) -> list[tuple[bytes, bytes | None, dict[str, str]]]:
        """Keys, values and trace headers up to the token."""
        end = Token.decode(token).offsets[0]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([TopicPartition(self.topic, 0)])
            await consumer.seek_to_beginning()
            read = [await asyncio.wait_for(consumer.getone(), 30) for _ in range(end)]
        finally:
            await consumer.stop()
        return [(record.key, record.value, record_carrier(record.headers)) for record in read]


@pytest.fixture
async def stream(kafka_bootstrap: str) -> AsyncIterator[Stream]:
    """A new topic."""
    topic = await make_topics(kafka_bootstrap)
    services = make_services({"bm25": FakeBackend()}, bootstrap_servers=kafka_bootstrap, topic=topic)
    yield Stream(kafka_bootstrap, topic, services)
    await _producer(services).close()


def _producer(services: Services) -> RecordProducer:
    return services.publications.publisher._producer


async def test_one_document(stream: Stream) -> None:
    """A JSON document is a record with its id as the key; unknown fields are kept, the trace goes along."""
    headers = JSON | {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    async with running(stream.services) as client:
        response = await client.post("/documents", json={"id": "a", "body": "text", "color": "red"}, headers=headers)
    answer = response.json()
    assert response.status_code == 202
    assert (answer["accepted"], answer["rejected"]) == (1, [])
    assert await stream.records(answer["token"]) == {
        "a": {"id": "a", "body": "text", "metadata": {"color": "red"}},
    }
    ((_, _, carrier),) = await stream.raw(answer["token"])
    assert carrier["traceparent"].split("-")[1] == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_lines(stream: Stream) -> None:
    """Good lines of an upload are in the topic in their order, bad ones are named, one token covers all."""

    async def body() -> AsyncIterator[bytes]:
        for number in range(3_000):
            yield b'{"id": "d%d", "body": "text"}\n' % number
        yield b"oops\n"

    async with running(stream.services) as client:
        answer = (await client.post("/documents", content=body(), headers=NDJSON)).json()
    assert (answer["accepted"], answer["rejected_total"]) == (3_000, 1)
    assert [line["line"] for line in answer["rejected"]] == [3_001]
    assert Token.decode(answer["token"]) == Token(stream.topic, {0: 3_000})
    assert list(await stream.records(answer["token"])) == [f"d{number}" for number in range(3_000)]


@pytest.mark.parametrize("safe", ["/", ""], ids=["slashes as they are", "slashes escaped"])
async def test_any_id_in_the_address(stream: Stream, safe: str) -> None:
    """PUT and DELETE take ids with slashes, dots and everything else, and change nothing about them."""
    async with running(stream.services) as client:
        for name in ODD_IDS:
            address = f"/documents/{quote(name, safe=safe)}"
            put = await client.put(address, json={"body": name}, headers=JSON)
            assert put.status_code == (202 if name.strip() else 400), (name, put.text)
        deleted = await client.delete("/documents/a%2Fb.txt")
    expected = {name: {"id": name, "body": name} for name in ODD_IDS if name.strip()}
    assert await stream.records(deleted.json()["token"]) == expected | {"a/b.txt": None}


async def test_id_of_the_body_must_be_that_of_the_address(stream: Stream) -> None:
    """The same id twice is fine, another one is refused and not published."""
    async with running(stream.services) as client:
        other = await client.put("/documents/a", json={"id": "b", "body": "x"})
        same = await client.put("/documents/a", json={"id": "a", "body": "x"})
    assert (other.status_code, same.status_code) == (400, 202)
    assert list(await stream.records(same.json()["token"])) == ["a"]


async def test_the_stored_document_and_where_it_is_indexed() -> None:
    """The newest version that an index has, and how each index stands to it."""
    backends = {name: FakeBackend() for name in ("bm25", "tantivy", "native")}
    backends["bm25"].documents = {stored("a/b").document.id: stored("a/b", title="old", offset=3)}
    backends["tantivy"].documents = {stored("a/b").document.id: stored("a/b", title="new", offset=9)}
    backends["native"].hang = frozenset({"fetch"})
    async with running(make_services(backends, timeout_ms=100)) as client:
        response = await client.get("/documents/a/b")
        missing = await client.get("/documents/nobody")
    answer = response.json()
    assert answer["document"]["title"] == "new"
    assert (answer["indexes"]["bm25"]["indexed"], answer["indexes"]["bm25"]["offset"]) == (True, 3)
    assert (answer["indexes"]["native"]["indexed"], answer["indexes"]["native"]["error"]) == (
        None,
        "the deadline passed",
    )
    assert (missing.status_code, missing.json()["backends"]) == (404, {"native": "the deadline passed"})


async def test_kafka_down_is_said_in_time() -> None:
    """503 with `retry-after`, for one document as for a stream of them."""
    services = make_services({"bm25": FakeBackend()})
    began = time.monotonic()
    async with running(services) as client:
        one = await client.post("/documents", json={"id": "a", "body": "x"})
        many = await client.post("/documents", content=b'{"id": "a", "body": "x"}\n', headers=NDJSON)
        gone = await client.delete("/documents/a")
    for response in (one, many, gone):
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert response.json()["type"].endswith(":stream-unavailable")
    assert time.monotonic() - began < 20
