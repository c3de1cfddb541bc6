"""What goes on when a part fails, and when producers send what cannot be indexed."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from infra.postgres.server import PostgresServer
from infra.supervisor.ports import free_port
from streams.document import MAX_BODY_BYTES
from streams.reader import read_topic
from streams.settings import METHODS
from streams.topics import ensure_topics
from tests.system.processes import Program, program
from tests.system.waiting import until

GOOD = {"id": "good", "title": "Good", "body": "a perfectly ordinary document about circuit breakers"}
# Kafka itself refuses a record without a key on a compacted topic.
BAD = {"not-json": (b"bad", b"{not json"), "key-mismatch": (b"bad", b'{"id": "other", "body": "text"}')}
INVALID = [
    b'{"body": 7}',
    b'{"body": ""}',
    b'{"title": "no body"}',
    json.dumps({"body": "x" * (MAX_BODY_BYTES + 1)}).encode(),
    json.dumps({"body": "text", "tags": ["tag"] * 10_000}).encode(),
    b'{"body": "text", "published_at": "yesterday"}',
]
LONE_SURROGATE = b'{"body": "\\ud800"}'


class Parts:
    """The system's processes, each started by hand as in containers, with a PostgreSQL that the test can stop."""

    def __init__(self, kafka: str, model: Path, folder: Path) -> None:
        self.kafka = kafka
        self.topic = f"degraded-{uuid4().hex}"
        self.port = free_port()
        self.postgres = PostgresServer(folder / "postgres", port=free_port())
        self.folder = folder
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DATABASE_URL": self.postgres.dsn,
            "MODEL_PATH": str(model),
            "EMBED_SEARCH_DATA_DIR": str(folder / "data"),
            "EMBED_SEARCH_TOPIC": self.topic,
            "EMBED_SEARCH_PORT": str(self.port),
            "EMBED_SEARCH_WORKERS": "1",
        }
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=40, trust_env=False)

    async def search(self, **request: Any) -> dict[str, Any]:
        """`POST /search`, which must answer."""
        response = await self.http.post("/search", json={"query": "circuit breakers", "timeout_ms": 5_000} | request)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def ready(self) -> bool:
        """Whether the API serves."""
        try:
            return (await self.http.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    async def complete(self) -> bool:
        """Whether all four methods answer."""
        return not (await self.search())["partial"]


@pytest.fixture
async def parts(kafka_bootstrap: str, model_path: Path, tmp_path: Path) -> AsyncIterator[Parts]:
    """Parts that are not running yet."""
    prepared = Parts(kafka_bootstrap, model_path, tmp_path)
    yield prepared
    await prepared.http.aclose()


@contextlib.contextmanager
def running(parts: Parts) -> Iterator[list[Program]]:
    """Run the indexers and the API."""
    with contextlib.ExitStack() as stack:
        commands = [["index", index] for index in METHODS] + [["api"]]
        logs = [parts.folder / f"{'-'.join(command)}.log" for command in commands]
        yield [
            stack.enter_context(program(command, parts.environment, log))
            for command, log in zip(commands, logs, strict=True)
        ]


async def test_without_postgresql_the_other_three_answer_and_semantic_comes_back_by_itself(parts: Parts) -> None:
    """At query time a dead database costs one method, not the answer; nothing needs a restart when it returns."""
    with running(parts):
        with parts.postgres.running():
            await until(parts.ready, "the API serves")
            token = (await parts.http.post("/documents", json=GOOD)).json()["token"]
            answer = await parts.search(wait_for=token, timeout_ms=60_000)
            assert not answer["partial"], answer
            assert set(answer["results"][0]["methods"]) == set(METHODS)

        answer = await parts.search()
        assert answer["partial"]
        assert answer["backends"]["semantic"]["status"] == "error"
        assert {answer["backends"][method]["status"] for method in METHODS if method != "semantic"} == {"ok"}
        assert [hit["id"] for hit in answer["results"]] == ["good"]
        assert (await parts.http.get("/health")).json()["status"] == "degraded"

        with parts.postgres.running():
            await until(parts.complete, "the semantic method answers again")
            updated = GOOD | {"body": "circuit breakers, second edition"}
            token = (await parts.http.post("/documents", json=updated)).json()["token"]
            answer = await parts.search(wait_for=token, timeout_ms=60_000)
            assert not answer["partial"], answer


async def test_bad_records_go_to_the_dead_letters_once_and_the_stream_goes_on(parts: Parts) -> None:
    """Every record that cannot be indexed is kept byte for byte with its reason; the good one behind it is found."""
    await ensure_topics(
        parts.kafka, parts.topic, dead_letter_topic=f"{parts.topic}.dlq", partitions=1, replication_factor=1
    )
    sent = [*BAD.values(), *((b"bad", value) for value in [*INVALID, LONE_SURROGATE])]
    await send(parts, [*sent, (b"good", json.dumps(GOOD).encode())])
    with running(parts), parts.postgres.running():
        await until(parts.ready, "the API serves")

        async def found() -> bool:
            answer = await parts.search()
            return bool(answer["results"]) and set(answer["results"][0]["methods"]) == set(METHODS)

        await until(found, "all four methods find the document behind the bad ones")
        letters = [record async for record in read_topic(parts.kafka, f"{parts.topic}.dlq")]
    assert [(letter.key, letter.value) for letter in letters] == sent
    headers = [{name: value.decode() for name, value in letter.headers} for letter in letters]
    classes = [*BAD, *(["invalid-document"] * len(INVALID)), "not-json"]
    assert [header["error-class"] for header in headers] == classes
    assert [header["source-offset"] for header in headers] == [str(offset) for offset in range(len(sent))]
    assert {header["source-topic"] for header in headers} == {parts.topic}
    assert {header["index"] for header in headers} == {"*"}
    assert "tags" in headers[6]["error-message"]


async def send(parts: Parts, records: list[tuple[bytes, bytes]]) -> None:
    """Send records as a stranger's producer does."""
    producer = AIOKafkaProducer(bootstrap_servers=parts.kafka, max_request_size=4 * MAX_BODY_BYTES)
    await producer.start()
    try:
        for key, value in records:
            await asyncio.wait_for(producer.send_and_wait(parts.topic, value, key=key, partition=0), 30)
    finally:
        await producer.stop()
