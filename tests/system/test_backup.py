"""A backup beside running indexers, and a restore elsewhere that reads only the tail of the topic."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from indexer.errors import IndexFault
from indexer.registry import open_dump
from infra.supervisor.ports import free_port
from streams.document import Document, DocumentId
from streams.publisher import DocumentPublisher, PublishSession, RecordProducer
from streams.settings import METHODS, Settings
from streams.topics import ensure_topics
from streams.watermark import Token
from tests.system.processes import program, run_command
from tests.system.waiting import until

BASE = 60
TAIL = 30


class Place:
    """A folder and a database that indexes are in."""

    def __init__(self, bootstrap: str, dsn: str, model: Path, directory: Path, topic: str) -> None:
        self.port = free_port()
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "DATABASE_URL": dsn,
            "MODEL_PATH": str(model),
            "EMBED_SEARCH_DATA_DIR": str(directory),
            "EMBED_SEARCH_TOPIC": topic,
            "EMBED_SEARCH_BATCH_DOCUMENTS": "20",
            "EMBED_SEARCH_EMBEDDING_THREADS": "1",
            "EMBED_SEARCH_INDEXER_PORT": str(self.port),
        }
        self.settings = Settings.model_validate({"database_url": dsn, "data_dir": directory}, by_name=True)

    def command(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        done = run_command([*arguments, "--json"], self.environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    async def has_read(self, token: Token) -> bool:
        """Whether all indexes have."""
        for index in METHODS:
            try:
                async with open_dump(index, self.settings) as dump:
                    if any(dump.watermark.offsets.get(p, 0) < offset for p, offset in token.offsets.items()):
                        return False
            except IndexFault:
                return False
        return True

    async def changes_applied(self) -> dict[str, int]:
        """Upserts and deletions that the running indexers have counted, by index."""
        async with httpx.AsyncClient(trust_env=False) as http:
            page = (await http.get(f"http://127.0.0.1:{self.port}/metrics")).text
        counts = dict.fromkeys(METHODS, 0)
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name == "embed_search_index_operations_total" and sample.labels["operation"] in (
                    "upsert",
                    "delete",
                ):
                    counts[sample.labels["index"]] += int(sample.value)
        return counts


@pytest.fixture
def other_database(postgres_dsn: str) -> Iterator[str]:
    """A second database."""
    name = f"test_{uuid4().hex}"

    async def execute(statement: str) -> None:
        connection = await asyncpg.connect(postgres_dsn)
        await connection.execute(statement)
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(execute(f"CREATE DATABASE {name}"))
        yield urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}"))
        runner.run(execute(f"DROP DATABASE {name} WITH (FORCE)"))


async def test_a_restored_system_reads_only_the_tail(
    kafka_bootstrap: str, database_dsn: str, other_database: str, model_path: Path, tmp_path: Path
) -> None:
    """Backups beside traffic; everything wiped; another folder, database and address of the broker; all is equal."""
    topic = f"backup-{uuid4().hex}"
    host, _, port = kafka_bootstrap.partition(",")[0].rpartition(":")
    elsewhere = f"{'localhost' if host == '127.0.0.1' else host}:{port}"
    here = Place(kafka_bootstrap, database_dsn, model_path, tmp_path / "here", topic)
    there = Place(elsewhere, other_database, model_path, tmp_path / "there", topic)
    await ensure_topics(kafka_bootstrap, topic, dead_letter_topic=f"{topic}.dlq", partitions=1, replication_factor=1)
    producer = RecordProducer(kafka_bootstrap, client_id="backup-test")
    try:
        async with DocumentPublisher(producer, topic).session() as session:
            taken = await back_up_beside_traffic(here, session, tmp_path)
            for number in range(TAIL):
                await session.put(document(f"tail/{number}"))
        token = session.token
    finally:
        await producer.close()

    restored = there.command("restore", str(tmp_path / "backup"))
    assert {each["index"]: each["watermark"] for each in restored["indexes"]} == taken
    with program(["index"], there.environment, tmp_path / "there.log") as indexers:
        await until(lambda: there.has_read(token), "the restored indexes have read everything")
        applied = await there.changes_applied()
        assert indexers.stop() == 0
    (end,) = token.offsets.values()
    assert applied == {index: end - watermark[topic]["0"] for index, watermark in taken.items()}
    assert all(TAIL <= count < end - BASE for count in applied.values()), (applied, end)
    assert run_command(["verify"], there.environment).returncode == 0


async def back_up_beside_traffic(
    here: Place, session: PublishSession, tmp_path: Path
) -> dict[str, dict[str, dict[str, int]]]:
    """Two backups while documents come, change and go, each record about another document.

    Returns:
        how far each index had read in the second, by index and topic.
    """
    for number in range(BASE):
        await session.put(document(f"base/{number}"))
    stop = asyncio.Event()

    async def traffic() -> None:
        for number in range(100_000):
            if stop.is_set():
                return
            if number < BASE:
                name = f"base/{number}"
                await (session.delete(name) if number % 3 else session.put(document(name, "another body")))
            else:
                await session.put(document(f"new/{number}"))
            await asyncio.sleep(0.02)

    with program(["index"], here.environment, tmp_path / "here.log") as indexers:
        await until(lambda: here.has_read(Token(offsets={0: BASE})), "the first documents are indexed")
        publishing = asyncio.create_task(traffic())
        first, second = [await asyncio.to_thread(here.command, "backup", str(tmp_path / "backup")) for _ in range(2)]
        stop.set()
        await publishing
        assert indexers.stop() == 0
    assert second["snapshot"] > first["snapshot"]
    assert 0 < second["new_files"] < second["files"]
    return {each["index"]: each["watermark"] for each in second["indexes"]}


def document(name: str, body: str = "") -> Document:
    """A document whose text tells which it is."""
    return Document(id=DocumentId(name), title=f"Document {name}", body=body or f"the body of {name}")
