"""Comparing the four indexes with a real topic: faults made by hand, and no false alarm beside traffic."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from indexer.errors import IndexFault
from indexer.registry import indexes_directory, open_catalogue, open_dump
from indexer.repair import RepairFolder
from indexer.reports.comparison import IndexComparison
from infra.verification import convergence
from infra.verification.address import TopicAddress
from infra.verification.convergence import compare, compare_and_repair
from streams.change import Change, Delete, Position, StoredDocument, Upsert
from streams.codec import decode_change
from streams.dead_letters import DeadLetter, DeadLetterPublisher
from streams.document import Document, DocumentId
from streams.publisher import DocumentPublisher, RecordProducer
from streams.reader import read_topic
from streams.settings import METHODS, Settings
from streams.topics import ensure_topics, read_offsets
from streams.watermark import Token, Watermark
from tests.streams.kafka import produce, recreate_topic
from tests.system.oracle import compacted_view
from tests.system.processes import program, run_command
from tests.system.waiting import until

CLASSES = ("missing", "stale", "extra", "different")


@pytest.fixture
async def settings(kafka_bootstrap: str, database_dsn: str, model_path: Path, tmp_path: Path) -> Settings:
    """A topic, a database and a folder of this test's own."""
    chosen = Settings.model_validate(
        {
            "kafka_bootstrap_servers": kafka_bootstrap,
            "database_url": database_dsn,
            "model_path": model_path,
            "data_dir": tmp_path / "data",
            "topic": f"verify-{uuid4().hex}",
            "partitions": 2,
            "batch_documents": 20,
        },
        by_name=True,
    )
    await ensure_topics(
        kafka_bootstrap,
        chosen.topic,
        dead_letter_topic=chosen.dead_letter_topic,
        partitions=2,
        replication_factor=1,
    )
    return chosen


def database_url(settings: Settings) -> str:
    """Where the semantic index is."""
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


def environment(settings: Settings) -> dict[str, str]:
    """The same settings as a child process gets them."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": str(settings.kafka_bootstrap_servers),
        "DATABASE_URL": database_url(settings),
        "MODEL_PATH": str(settings.model_path),
        "EMBED_SEARCH_DATA_DIR": str(settings.data_dir),
        "EMBED_SEARCH_TOPIC": settings.topic,
        "EMBED_SEARCH_BATCH_DOCUMENTS": str(settings.batch_documents),
        "EMBED_SEARCH_EMBEDDING_THREADS": "1",
        "TMPDIR": str(settings.data_dir.parent),
    }


async def compared(settings: Settings, scratch: Path, *indexes: str, shown: int = 10) -> list[IndexComparison]:
    """Compare indexes with the topic."""
    address = TopicAddress(str(settings.kafka_bootstrap_servers), settings.topic, settings.dead_letter_topic)
    scratch.mkdir()
    return await compare(settings, address, indexes, scratch=scratch, shown=shown, on_step=lambda _: None)


def named(report: IndexComparison) -> dict[str, list[tuple[str, str | None, str | None]]]:
    """The faults of a report by class: id, and what index and topic have."""
    assert report.reason == ""
    classes = {name: getattr(report, name) for name in CLASSES}
    assert all(each.count == len(each.first) for each in classes.values())
    return {
        name: sorted((fault.id, fault.indexed, fault.topic) for fault in each.first)
        for name, each in classes.items()
        if each.count
    }


async def history(settings: Settings, *records: tuple[str, str | None]) -> list[Change]:
    """Publish versions of documents to partition 0, by their ids and bodies, and read them back as changes."""
    values = [(name.encode(), None if body is None else json.dumps({"body": body}).encode()) for name, body in records]
    await produce(str(settings.kafka_bootstrap_servers), settings.topic, values, partition=0)
    return [
        decode_change(record.key, record.value, Position(record.partition, record.offset, record.timestamp))
        async for record in read_topic(str(settings.kafka_bootstrap_servers), settings.topic)
    ]


async def write(index: str, settings: Settings, changes: Sequence[Change], *, read: Mapping[int, int]) -> None:
    """Make an index hold what it is given, and say that it has read so far."""
    cluster = (await read_offsets(str(settings.kafka_bootstrap_servers), settings.topic)).cluster
    async with open_catalogue(index, settings) as catalogue:
        writer = await catalogue.open_writer(await catalogue.ensure_live())
        await writer.apply(changes)
        await writer.commit(Watermark(settings.topic, cluster, dict(read)))
        await writer.close()


def another(change: Change) -> Upsert:
    """The change with another content."""
    return Upsert(Document(id=change.id, body="another body"), change.position)


@pytest.mark.parametrize("index", METHODS)
async def test_each_fault_is_named_in_each_store(index: str, settings: Settings, tmp_path: Path) -> None:
    """Missing, stale, extra and different documents, and a good one; the watermark says that all was read."""
    good, lost, old, _, gone, _, wrong, *_ = await history(
        settings,
        ("good", "stays"),
        ("lost", "never arrives"),
        ("old", "first version"),
        ("old", "second version"),
        ("gone", "is deleted"),
        ("gone", None),
        ("wrong", "has this body"),
    )
    del lost
    ghost = Upsert(Document(id=DocumentId("ghost/ключ"), body="was never published"), Position(0, 1, 0))
    await write(index, settings, [good, old, gone, another(wrong), ghost], read={0: 7})
    (report,) = await compared(settings, tmp_path / "scratch", index)
    assert named(report) == {
        "missing": [("lost", None, "0:1")],
        "stale": [("old", "0:2", "0:3")],
        "extra": [("ghost/ключ", "0:1", None), ("gone", "0:4", "0:5")],
        "different": [("wrong", "0:6", "0:6")],
    }
    assert (report.documents, report.behind, report.changing, report.refused) == (5, 0, 0, 0)
    assert not report.equal


@pytest.mark.parametrize("index", METHODS)
async def test_what_an_index_has_not_read_is_no_fault(index: str, settings: Settings, tmp_path: Path) -> None:
    """Up to its own watermark it is compared, and what came later is counted."""
    changes = await history(settings, ("a", "1"), ("b", "1"), ("c", "1"), ("a", "2"), ("b", None), ("d", "1"))
    await write(index, settings, changes[:2], read={0: 3})
    (report,) = await compared(settings, tmp_path / "scratch", index)
    assert named(report) == {"missing": [("c", None, "0:2")]}
    assert (report.documents, report.behind, report.changing) == (2, 3, 3)


async def test_faults_beyond_those_shown_are_counted(settings: Settings, tmp_path: Path) -> None:
    """Bounded output, whatever is wrong; and what is not compared is said with its reason."""
    await history(settings, *((f"d{number}", "body") for number in range(30)))
    await write("bm25", settings, [], read={0: 30})
    bm25, native = await compared(settings, tmp_path / "scratch", "bm25", "native", shown=3)
    assert (bm25.missing.count, len(bm25.missing.first)) == (30, 3)
    assert "not built" in native.reason
    assert not native.equal


async def test_an_index_of_another_topic_is_not_compared(settings: Settings, tmp_path: Path) -> None:
    """Its positions mean nothing here."""
    (change,) = await history(settings, ("a", "1"))
    await write("bm25", settings, [change], read={0: 1})
    other = settings.model_copy(update={"topic": f"{settings.topic}-other"})
    await ensure_topics(
        str(other.kafka_bootstrap_servers),
        other.topic,
        dead_letter_topic=other.dead_letter_topic,
        partitions=1,
        replication_factor=1,
    )
    (report,) = await compared(other, tmp_path / "scratch", "bm25")
    assert settings.topic in report.reason
    assert not report.equal


async def test_a_damaged_file_is_a_reason_not_to_compare(settings: Settings, tmp_path: Path) -> None:
    """The file is named."""
    await write("bm25", settings, await history(settings, ("a", "1")), read={0: 1})
    (segment,) = indexes_directory(settings).glob("bm25/*/*.segment")
    segment.write_bytes(bytes([segment.read_bytes()[0] ^ 1]) + segment.read_bytes()[1:])
    (report,) = await compared(settings, tmp_path / "scratch", "bm25")
    assert str(segment) in report.reason


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM {documents} WHERE id = 'b'", {"missing": [("b", None, "0:1")]}),
        ("UPDATE {documents} SET record_offset = 0 WHERE id = 'b'", {"stale": [("b", "0:0", "0:1")]}),
        ("DELETE FROM {passages} WHERE document_id = 'b'", {"different": [("b", "0:1", "0:1")]}),
        ("UPDATE {documents} SET content_hash = 'x' WHERE id = 'b'", {"different": [("b", "0:1", "0:1")]}),
    ],
)
async def test_rows_changed_in_postgresql_are_named(
    statement: str, found: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    """A row that is gone, an older position, no vectors, the vectors of another text."""
    await write("semantic", settings, await history(settings, ("a", "one"), ("b", "two")), read={0: 2})
    connection = await asyncpg.connect(database_url(settings), timeout=30)
    tables = {name: f"embed_search.g000001_{name}" for name in ("documents", "passages")}
    await connection.execute(statement.format(**tables))
    await connection.close()
    (report,) = await compared(settings, tmp_path / "scratch", "semantic")
    assert named(report) == found


async def test_what_was_refused_may_be_absent(settings: Settings, tmp_path: Path) -> None:
    """By all indexes, since nobody can read it, or by one, which has dead-lettered that very record."""
    kafka = str(settings.kafka_bootstrap_servers)
    first, second, third = await history(settings, ("a", "1"), ("b", "1"), ("b", "2"))
    await produce(kafka, settings.topic, [(b"a", b"not json"), (b"\xff", b"no key")], partition=0)
    producer = RecordProducer(kafka, client_id="test")
    letter = DeadLetter(
        key=b"b",
        value=b"{}",
        topic=settings.topic,
        partition=0,
        offset=third.position.offset,
        index="native",
        error_class="test",
        message="",
        trace={},
    )
    await DeadLetterPublisher(producer, settings.dead_letter_topic).publish(letter)
    await producer.close()
    for index in ("bm25", "native"):
        await write(index, settings, [first, second], read={0: 5})
    bm25, native = await compared(settings, tmp_path / "scratch", "bm25", "native")
    assert named(bm25) == {"stale": [("b", "0:1", "0:2")]}
    assert (named(native), bm25.refused, native.refused) == ({}, 1, 2)


async def test_a_version_that_compaction_takes_meanwhile_is_no_fault(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer version comes while the topic is read, and the one that the index has is compacted away unread."""
    kafka = str(settings.kafka_bootstrap_servers)
    await write("bm25", settings, await history(settings, ("a", "1"), ("b", "1")), read={0: 2})
    passes: list[object] = []

    async def compacting(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        passes.append(kwargs)
        if len(passes) == 1:
            await produce(kafka, settings.topic, [(b"b", b'{"body": "2"}')], partition=0)
        async for record in read_topic(*args, **kwargs):
            if len(passes) > 1 or record.key != b"b":
                yield record

    monkeypatch.setattr(convergence, "read_topic", compacting)  # a moment that no test could hit otherwise
    (report,) = await compared(settings, tmp_path / "scratch", "bm25")
    assert named(report) == {}
    assert report.changing == 1


async def test_traffic_gives_no_false_alarm_and_the_command_says_so(settings: Settings, tmp_path: Path) -> None:
    """While documents come, change and go; and at the end every document is compared. Then one fault is printed."""
    stop, changing = asyncio.Event(), 0
    dice = Random(7)
    with program(["index"], environment(settings), tmp_path / "index.log") as indexers:
        publishing = asyncio.create_task(publish_until(stop, settings, dice))
        await until(lambda: built(settings), "all indexes hold something")
        for number in range(5):
            for report in await compared(settings, tmp_path / f"scratch-{number}", *METHODS):
                assert named(report) == {}, (number, report)
                changing += report.changing
        stop.set()
        token = await publishing
        view = await compacted_view(str(settings.kafka_bootstrap_servers), settings.topic)

        async def caught_up() -> bool:
            reports = await compared(settings, tmp_path / f"scratch-{uuid4().hex}", *METHODS)
            assert all(named(report) == {} for report in reports)
            return not any(report.behind for report in reports)

        await until(caught_up, "all indexes have read everything")
        assert indexers.stop() == 0
    reports = await compared(settings, tmp_path / "last", *METHODS)
    assert [(report.documents, report.changing, report.equal) for report in reports] == [(len(view), 0, True)] * 4
    assert sum(token.offsets.values()) > len(view)
    assert changing > 0
    sound = run_command(["verify"], environment(settings))
    assert sound.returncode == 0, sound.stdout + sound.stderr
    assert all(index in sound.stdout for index in METHODS)
    await faults_are_repaired_beside_traffic(settings, list(view.values())[:3], tmp_path)
    await a_topic_that_was_made_anew_is_followed(settings, tmp_path)


async def faults_are_repaired_beside_traffic(
    settings: Settings, known: Sequence[StoredDocument], tmp_path: Path
) -> None:
    """In every store, one fault of each class; and without an indexer there is an end, and nothing stays behind."""
    for index in METHODS:
        await damage(index, settings, known)
    (waited,) = await repaired(settings, tmp_path / "unattended", "native", patience=0.2)
    assert (waited.repair is not None and "did not take it up" in waited.repair.reason, waited.sound) == (True, False)
    assert RepairFolder(settings.data_dir, "native").names() == []
    stop = asyncio.Event()
    with program(["index"], environment(settings), tmp_path / "index.log") as indexers:
        publishing = asyncio.create_task(publish_until(stop, settings, Random(11), prefix="live"))
        faulty = await compared(settings, tmp_path / "faulty", *METHODS)
        assert [[getattr(report, name).count for name in CLASSES] for report in faulty] == [[1, 1, 1, 1]] * len(METHODS)
        mended = await asyncio.to_thread(run_command, ["verify", "--repair", "--json"], environment(settings))
        assert mended.returncode == 0, mended.stdout + mended.stderr
        repairs = [report["repair"] for report in json.loads(mended.stdout)]
        assert repairs == [{"repaired": 4, "superseded": 0, "refused": 0, "reason": ""}] * len(METHODS)
        assert all(report.equal for report in await compared(settings, tmp_path / "mended", *METHODS))
        stop.set()
        await publishing
        assert indexers.stop() == 0


async def a_topic_that_was_made_anew_is_followed(settings: Settings, tmp_path: Path) -> None:
    """The comparison says so, and with leave to rebuild every index becomes the view of the topic that is there."""
    await recreate_topic(str(settings.kafka_bootstrap_servers), settings.topic, partitions=2)
    await history(settings, *((f"new/{number}", "text") for number in range(20)))
    for report in await compared(settings, tmp_path / "another-topic", *METHODS):
        assert "was deleted and created anew" in report.reason

    async def equal() -> bool:
        reports = await compared(settings, tmp_path / f"scratch-{uuid4().hex}", *METHODS)
        return [(report.documents, report.equal) for report in reports] == [(20, True)] * len(METHODS)

    rebuilding = environment(settings) | {"EMBED_SEARCH_TOPIC_GAP": "rebuild"}
    with program(["index"], rebuilding, tmp_path / "index.log") as indexers:
        await until(equal, "all indexes are built anew")
        assert indexers.stop() == 0


async def damage(index: str, settings: Settings, known: Sequence[StoredDocument]) -> None:
    """Lose a document, keep an older version of one, change one, and add one that never was."""
    lost, old, wrong = known
    older = Position(old.position.partition, old.position.offset - 1, 0)
    changes: list[Change] = [
        Delete(lost.document.id, lost.position),
        Upsert(Document(id=old.document.id, body="an older version"), older),
        Upsert(Document(id=wrong.document.id, body="another body"), wrong.position),
        Upsert(Document(id=DocumentId("ghost"), body="was never published"), older),
    ]
    async with open_catalogue(index, settings) as catalogue:
        writer = await catalogue.open_writer(await catalogue.ensure_live())
        watermark = await writer.watermark()
        await writer.repair(changes)
        await writer.commit(watermark)
        await writer.close()


async def repaired(settings: Settings, scratch: Path, *indexes: str, patience: float) -> list[IndexComparison]:
    """Compare indexes with the topic, and repair them."""
    address = TopicAddress(str(settings.kafka_bootstrap_servers), settings.topic, settings.dead_letter_topic)
    scratch.mkdir()
    return await compare_and_repair(
        settings, address, indexes, scratch=scratch, shown=10, on_step=lambda _: None, patience=patience
    )


async def publish_until(stop: asyncio.Event, settings: Settings, dice: Random, prefix: str = "doc") -> Token:
    """Versions of a few hundred documents, one tenth of them deletions, until told to stop."""
    producer = RecordProducer(str(settings.kafka_bootstrap_servers), client_id="verify-test")
    try:
        async with DocumentPublisher(producer, settings.topic).session() as session:
            count = 0
            while not stop.is_set():
                name, count = f"{prefix}/{dice.randrange(300)}", count + 1
                if dice.random() < 0.1:
                    await session.delete(name)
                else:
                    await session.put(Document(id=DocumentId(name), body=f"version {count} of {name}"))
                await asyncio.sleep(0.01)
        return session.token
    finally:
        await producer.close()


async def built(settings: Settings) -> bool:
    """Whether there is something in every index."""
    for index in METHODS:
        try:
            async with open_dump(index, settings) as dump:
                if not dump.watermark.offsets:
                    return False
        except IndexFault:
            return False
    return True


async def test_the_command_prints_faults_and_ends_with_status_1(settings: Settings, tmp_path: Path) -> None:
    """As a table with names, or as JSON, for the indexes that are named; status 0 while all is equal."""
    await write("bm25", settings, await history(settings, ("a\x1b", "1"), ("b", "1")), read={0: 2})
    sound = run_command(["verify", "bm25"], environment(settings))
    assert sound.returncode == 0, sound.stderr
    await history(settings, ("c", "1"))
    assert run_command(["verify", "bm25"], environment(settings)).returncode == 0
    await write("native", settings, [], read={0: 3})
    printed = run_command(["verify", "bm25", "native"], environment(settings))
    assert printed.returncode == 1
    assert "native missing: 'a\\x1b' (index nothing, topic 0:0)" in printed.stdout
    assert "bm25 missing" not in printed.stdout
    told = run_command(["verify", "native", "--shown", "1", "--json"], environment(settings))
    assert told.returncode == 1
    (report,) = json.loads(told.stdout)
    assert (report["missing"]["count"], len(report["missing"]["first"])) == (3, 1)
    assert not list(tmp_path.glob("embed-search-verify-*"))
