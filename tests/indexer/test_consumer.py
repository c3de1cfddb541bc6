"""The consumer loop between a real broker and an index that is stricter than any real one."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from indexer import consumer, feed
from indexer.errors import GenerationUnusable, WriterLocked
from indexer.health.progress import Progress
from indexer.resume_orders import order_to_resume
from indexer.throttle import Throttle
from indexer.writer import IndexWriter
from infra.kafka.server import KafkaServer
from infra.setup.artifacts import Artifacts
from infra.supervisor.ports import free_port
from streams.change import Upsert
from streams.codec import encode_document
from streams.dead_letters import DeadLetter, DeadLetterPublisher
from streams.document import Document, DocumentId
from streams.errors import StreamMismatch, StreamUnavailable
from streams.topics import ensure_topics, read_offsets
from streams.tracing import record_carrier
from streams.watermark import Watermark
from tests.indexer.bench import AT_ONCE, NEVER, Bench, Log
from tests.indexer.fake_index import PATIENCE, Fault
from tests.streams.kafka import make_topics, nothing_unclosed, produce, records_of


@pytest.fixture(autouse=True)
def closed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No client is left open."""
    with nothing_unclosed(caplog):
        yield


@pytest.fixture
async def bench(kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """One index that reads all partitions."""
    made = Bench(kafka_bootstrap, await make_topics(kafka_bootstrap, partitions=3), tmp_path, partitions=3)
    yield made
    await made.producer.close()


@pytest.fixture
async def single(kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """The same with one partition, where order is total."""
    made = Bench(kafka_bootstrap, await make_topics(kafka_bootstrap), tmp_path, partitions=1)
    yield made
    await made.producer.close()


@pytest.fixture
async def team(kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """One index that several indexers share."""
    monkeypatch.setattr(feed, "_HEARTBEAT_MS", 300)  # a member learns of a rebalance by its heartbeat
    topic = await make_topics(kafka_bootstrap, partitions=3)
    made = Bench(kafka_bootstrap, topic, tmp_path, partitions=3, shared=True)
    yield made
    await made.producer.close()


async def test_the_index_becomes_the_compacted_view(bench: Bench) -> None:
    """Updates replace, tombstones delete, and the watermark is the end of every partition; then Kafka is told."""
    await bench.publish([f"d{number}" for number in range(300)])
    async with bench.indexing():
        await bench.index_everything()
        await bench.publish([f"d{number}" for number in range(100)], "newer")
        await produce(bench.bootstrap, bench.topic, [(b"d%d" % number, None) for number in range(50, 300)])
        await bench.index_everything()
    assert bench.index.documents == {f"d{number}": "newer" for number in range(50)}
    end = (await read_offsets(bench.bootstrap, bench.topic)).end
    assert bench.index.watermark.offsets == end == await bench.committed()
    assert bench.index.watermark.topic == bench.topic
    assert bench.index.watermark.timestamp_ms > 1_700_000_000_000


async def test_a_batch_is_committed_by_count(single: Bench) -> None:
    """As soon as it is full, whole polls at a time; the rest waits."""
    single.set(limits=msgspec.structs.replace(NEVER, records=100))
    await single.publish([f"d{number}" for number in range(250)])
    async with single.indexing():
        await single.index.until(lambda: len(single.index.documents) >= 200)
        assert [len(changes) for changes in single.index.commits] == [100, 100]


async def test_a_batch_is_committed_by_bytes(single: Bench) -> None:
    """Large documents come in small batches."""
    single.set(limits=msgspec.structs.replace(NEVER, bytes=50_000), poll_records=1)
    await single.publish([f"d{number}" for number in range(12)], "x" * 10_000)
    async with single.indexing():
        await single.index.until(lambda: len(single.index.documents) == 10)
        assert [len(changes) for changes in single.index.commits] == [5, 5]


async def test_a_batch_is_committed_by_age(single: Bench) -> None:
    """A trickle is searchable soon, too."""
    single.set(limits=msgspec.structs.replace(NEVER, age_seconds=0.3))
    async with single.indexing():
        for number in range(3):
            await single.publish([f"d{number}"])
            await single.index.until(lambda last=number: f"d{last}" in single.index.documents)  # type: ignore[misc] # mypy cannot infer a lambda with a default


async def test_it_rests_as_its_throttle_says(single: Bench) -> None:
    """Behind each batch, by the time that it took; whoever stops it need not wait for that."""
    single.set(limits=msgspec.structs.replace(NEVER, records=20), throttle=Throttle(1e-5))
    await single.publish([f"d{number}" for number in range(100)])
    async with single.indexing():
        await single.index.until(lambda: len(single.index.documents) == 20)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await single.index.until(lambda: len(single.index.documents) > 20)
    assert [len(changes) for changes in single.index.commits] == [20]


async def test_one_change_a_document_reaches_the_index(single: Bench) -> None:
    """Of many versions in one batch, the last; the fake asserts it."""
    single.set(limits=msgspec.structs.replace(NEVER, records=40))
    for version in range(20):
        await single.publish(["a", "b"], f"version {version}")
    async with single.indexing():
        await single.index.until(lambda: len(single.index.documents) == 2)
    assert single.index.documents == {"a": "version 19", "b": "version 19"}
    assert [len(changes) for changes in single.index.commits] == [2]


BAD: list[tuple[bytes | None, bytes | None, str]] = [
    (b"a", b"not json", "not-json"),
    (b"b", b"\xff\xfe\0", "not-json"),
    (b"c", b"[" * 20_000, "not-json"),
    (b"d", b'{"body":"\\ud800"}', "not-json"),
    (b"e", b'{"body":5}', "invalid-document"),
    (b"f", b'{"body":""}', "invalid-document"),
    (b"g", b'{"body":"' + b"x" * 10_001 + b'"}', "invalid-document"),
    (b"h", b'{"body":"x","tags":[' + b",".join([b'"t"'] * 10_000) + b"]}", "invalid-document"),
    (b"i", b'{"body":"x","id":"j"}', "key-mismatch"),
    (b"\xff", b'{"body":"x"}', "invalid-key"),
    (b"", None, "invalid-key"),
    (b"k", b"x" * 1_500_000, "too-large"),
]


async def test_bad_records_are_dead_lettered_and_the_stream_goes_on(single: Bench) -> None:
    """Each once, byte for byte, with its reason and its trace; the good ones around them are indexed."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for number, (key, value, _) in enumerate(BAD):
        await single.publish([f"good{number}"])
        await produce(
            single.bootstrap, single.topic, [(key, value)], headers=[("traceparent", trace.encode()), ("odd", b"\xff")]
        )
    await single.publish(["last"])
    async with single.indexing():
        await single.index_everything()
    assert single.index.documents.keys() == {"last", *(f"good{number}" for number in range(len(BAD)))}
    letters = await single.dead()
    assert [(letter.key, letter.value) for letter in letters] == [(key, value) for key, value, _ in BAD]
    headers = [record_carrier(letter.headers) for letter in letters]
    assert [header["error-class"] for header in headers] == [kind for *_, kind in BAD]
    assert [int(header["source-offset"]) for header in headers] == list(range(1, 2 * len(BAD), 2))
    assert {header["index"] for header in headers} == {"*"}
    assert {header["source-topic"] for header in headers} == {single.topic}
    assert {header["traceparent"] for header in headers} == {trace}


async def test_only_one_indexer_reports_what_no_index_can_take(single: Bench) -> None:
    """The others pass it in silence, and their watermark too."""
    single.reports_undecodable = False
    await produce(single.bootstrap, single.topic, [(b"a", b"not json")])
    async with single.indexing():
        await single.index_everything()
    assert await single.dead() == []
    assert single.index.watermark.offsets == {0: 1}


async def test_what_this_index_cannot_take_is_dead_lettered_under_its_name(single: Bench) -> None:
    """As received, with the index's own reason; whoever else can take it does."""
    single.index.refused = lambda change: change.id.startswith("odd")
    await single.publish(["a", "odd1", "b", "odd2"])
    async with single.indexing():
        await single.index_everything()
    assert single.index.documents.keys() == {"a", "b"}
    records = await records_of(single.bootstrap, single.topic)
    letters = await single.dead()
    assert [(letter.key, letter.value) for letter in letters] == [(r.key, r.value) for r in (records[1], records[3])]
    headers = [record_carrier(letter.headers) for letter in letters]
    assert [(h["index"], h["error-class"], h["error-message"]) for h in headers] == [
        ("fake", "too-odd", "the fake says so")
    ] * 2


async def too_long(bench: Bench, count: int, *, prefix: str = "bad") -> None:
    """Publish documents whose bodies are over the limit, which a build could raise."""
    body = b'{"body":"' + b"x" * (bench.options.max_body_bytes + 1) + b'"}'
    await produce(bench.bootstrap, bench.topic, [(b"%s%d" % (prefix.encode(), n), body) for n in range(count)])


async def test_a_broken_deploy_does_not_empty_the_topic_into_the_dead_letters(single: Bench, log: Log) -> None:
    """Too much is bad: nothing is passed, and all is let go of, restarts or not; a fixed build takes all of it in."""
    single.set(limits=msgspec.structs.replace(NEVER, records=60))
    single.bad_share = 0.2
    await too_long(single, 60)
    await single.publish(["good"])
    for _ in range(2):
        log.events.clear()
        async with single.indexing():
            reason = (await log.until("stopped reading"))["reason"]
            assert "50 of the last 50 records are bad" in reason
            assert (single.progress.component().status, reason in single.progress.component().message) == (
                "unhealthy",
                True,
            )
            assert halted(single) == 1
            assert all(writer.closed for writer in single.index.writers)
        assert (await single.dead(), single.index.commits, await single.committed()) == ([], [], {})
    single.set(max_body_bytes=20_000, limits=AT_ONCE)
    async with single.indexing():
        await single.index_everything()
    assert len(single.index.documents) == 61
    assert (await single.dead(), halted(single)) == ([], 0)


async def test_an_operator_has_it_read_on(single: Bench, log: Log) -> None:
    """What is there at that time goes to the dead letters, also after a restart; what comes later is judged again."""
    single.set(limits=msgspec.structs.replace(AT_ONCE, records=60, age_seconds=0.3))
    single.bad_share = 0.2
    await too_long(single, 60)
    await single.publish(["good"])
    async with single.indexing():
        await log.until("stopped reading")
        order = await order_to_resume(["fake"], single.settings, single.bootstrap, single.topic)
        assert order.through == {0: 61}
        await single.index_everything()
        assert len(await single.dead()) == 60
        assert single.index.documents.keys() == {"good"}
    single.index.watermark = Watermark()
    async with single.indexing():
        await single.index_everything()
        assert len(await single.dead()) == 120
        log.events.clear()
        await too_long(single, 100, prefix="later")
        await log.until("stopped reading")
    assert single.index.watermark.offsets[0] < 61 + 50


async def test_what_the_index_itself_refuses_counts_too(single: Bench, log: Log) -> None:
    """A broken model is as bad as a broken producer."""
    single.set(limits=msgspec.structs.replace(NEVER, records=60))
    single.bad_share = 0.2
    single.index.refused = lambda change: change.id.startswith("odd")
    await single.publish([f"odd{number}" for number in range(60)])
    async with single.indexing():
        assert "too-odd: the fake says so" in (await log.until("stopped reading"))["reason"]
    assert (await single.dead(), single.index.commits) == ([], [])


async def test_one_bad_record_in_a_hundred_stops_nobody(single: Bench) -> None:
    """Each goes to the dead letters, and all others into the index."""
    single.bad_share = 0.2
    records = [(b"d%d" % number, b"not json" if number % 100 == 0 else b'{"body":"text"}') for number in range(1_000)]
    await produce(single.bootstrap, single.topic, records)
    async with single.indexing():
        await single.index_everything()
    assert (len(await single.dead()), len(single.index.documents), len(single.index.writers)) == (10, 990, 1)


def halted(bench: Bench) -> float | None:
    """What the metric says."""
    return bench.metrics.registry.get_sample_value("embed_search_index_halted", {"index": "fake"})


@pytest.mark.parametrize("step", ["apply", "commit", "after-commit"])
async def test_a_writer_that_fails_is_opened_anew(single: Bench, step: Fault) -> None:
    """Reading goes on from what is committed: nothing lost, and, as the fake asserts, nothing twice."""
    single.set(limits=msgspec.structs.replace(AT_ONCE, records=20))
    single.index.faults = [(1, step), (2, step), (4, step)]
    await single.publish([f"d{number}" for number in range(200)])
    async with single.indexing():
        await single.index_everything()
    assert len(single.index.documents) == 200
    assert len(single.index.writers) == 4
    indexed = [change.position.offset for changes in single.index.commits for change in changes]
    assert indexed == list(range(200))


async def test_damage_is_acted_upon_while_nothing_comes(single: Bench, log: Log) -> None:
    """An index that is found damaged between two records is opened anew before the next one."""
    await single.publish(["a"])
    async with single.indexing():
        await single.index_everything()
        single.index.damaged = True
        assert (await log.until("beginning again"))["reason"] == "damaged on purpose"
        await single.publish(["b"])
        await single.index_everything()
    assert len(single.index.writers) == 2
    assert single.index.documents.keys() == {"a", "b"}


async def test_a_ruined_index_is_built_anew_from_the_topic(single: Bench, log: Log) -> None:
    """Damage that no writer can go on from needs nobody's leave: the same topic brings everything back."""
    await single.publish(["a", "b"])
    async with single.indexing():
        await single.index_everything()
        single.index.ruined = "a file does not match its checksum"
        said = await log.until("index set aside, it is built anew from the topic")
        assert said["reason"] == "a file does not match its checksum"
        await single.publish(["c"])
        await single.index_everything()
    assert single.index.documents.keys() == {"a", "b", "c"}
    assert single.metrics.registry.get_sample_value("embed_search_index_rebuilds_total", {"index": "fake"}) == 1


async def test_an_index_beside_the_live_one_is_not_begun_anew(single: Bench) -> None:
    """Whoever reads it alone cannot put another one in its place."""
    single.mends = False
    await single.publish(["a"])
    single.index.ruined = "a file does not match its checksum"
    with pytest.raises(GenerationUnusable, match="its checksum"):
        await asyncio.wait_for(single.indexer().run(asyncio.Event()), PATIENCE)
    assert single.index.ruined


async def test_a_transaction_leaves_no_lag_behind(single: Bench) -> None:
    """The marker at its end is an offset without a record; the index passes it while nobody publishes."""
    producer = AIOKafkaProducer(bootstrap_servers=single.bootstrap, transactional_id=single.topic)
    document = Document(id=DocumentId("a"), body="text")
    async with producer, producer.transaction():
        await producer.send_and_wait(single.topic, encode_document(document), key=b"a")
    assert (await read_offsets(single.bootstrap, single.topic)).end == {0: 2}
    async with single.indexing():
        await single.index_everything()
        marked = single.index.watermark
        polled = single.index.checks
        await single.index.until(lambda: single.index.checks >= polled + 2)
    assert (marked.offsets, single.index.watermark) == ({0: 2}, marked)
    assert len(single.index.commits) == 2, "the record, and once the gap"
    assert await single.committed() == {0: 2}
    assert marked.timestamp_ms > 0


async def test_it_says_what_it_does(single: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not ready before it indexes, nor from a failure until a commit; degraded while it reads nothing.

    The first look of each run brings nothing, as on a busy machine: that the topic has no more is not said by it.
    """
    said: list[tuple[str, str]] = []
    polled_before: set[feed.Feed] = set()
    poll = feed.Feed.poll

    async def slow_at_first(run: feed.Feed, *, max_records: int, timeout: float) -> list[feed.Record]:  # noqa: ASYNC109 - as there
        if run in polled_before:
            return await poll(run, max_records=max_records, timeout=timeout)
        polled_before.add(run)
        return []

    monkeypatch.setattr(feed.Feed, "poll", slow_at_first)

    class Noted(Progress):
        def note(self) -> None:
            component = self.component()
            if not said or said[-1] != (component.status, component.message):
                said.append((component.status, component.message))

        def work_ended(self, watermark: Watermark) -> None:
            self.note()
            super().work_ended(watermark)
            self.note()

        def failed(self, reason: str) -> None:
            super().failed(reason)
            self.note()

        def paused(self, *, paused: bool) -> None:
            super().paused(paused=paused)
            self.note()

    single.progress = Noted(stall_seconds=60)
    single.index.faults = [(1, "apply"), (1, "commit")]
    await single.publish(["a"])
    async with single.indexing():
        await single.index_everything()
        await single.publish(["b"])
        await single.index_everything()
        single.memory.use(90)
        polled = single.index.checks
        await single.index.until(lambda: single.index.checks >= polled + 2)
        single.memory.use(10)
        await single.index.until(lambda: single.index.checks >= polled + 4)
    failures = [message for status, message in said if status == "unhealthy"]
    assert failures == [
        "is starting",
        "begins again: apply failed on purpose",
        "begins again: commit failed on purpose",
    ]
    assert [status for status, _ in said] == [
        "unhealthy",
        "healthy",
        "unhealthy",
        "unhealthy",
        "healthy",
        "degraded",
        "healthy",
    ]
    assert single.progress.watermark == single.index.watermark
    assert single.metrics.registry.get_sample_value("embed_search_index_failures_total", {"index": "fake"}) == 2


async def test_a_writer_that_cannot_be_opened_yet_is_awaited(single: Bench, log: Log) -> None:
    """Another process holds the lock: wait, say so, try again."""
    await single.publish(["a"])
    attempts = 0

    async def open_writer() -> IndexWriter:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise WriterLocked("somebody else writes")
        return await single.index.open()

    stop = asyncio.Event()
    running = asyncio.create_task(single.indexer(open_writer).run(stop))
    assert (await log.until("beginning again"))["reason"] == "somebody else writes"
    await single.index_everything()
    stop.set()
    await running
    assert single.index.documents.keys() == {"a"}


async def test_kafka_is_never_ahead_of_the_index(bench: Bench) -> None:
    """Whenever somebody looks, what Kafka was told is in the index, through failures too."""
    bench.set(limits=msgspec.structs.replace(AT_ONCE, records=20))
    bench.index.faults = [(3, "commit"), (6, "apply"), (9, "after-commit")]
    await bench.publish([f"d{number}" for number in range(600)])
    looks = 0
    async with (
        AIOKafkaConsumer(
            bootstrap_servers=bench.bootstrap, group_id=bench.options.group, enable_auto_commit=False
        ) as dashboard,
        bench.indexing(),
    ):
        indexed = asyncio.create_task(bench.index_everything())
        while not indexed.done():
            for partition in range(3):
                told = await dashboard.committed(TopicPartition(bench.topic, partition))
                assert (told or 0) <= bench.index.watermark.offsets.get(partition, 0)
                looks += 1
        await indexed
    assert looks > 20
    assert len(bench.index.documents) == 600


async def test_what_kafka_was_told_is_not_believed(single: Bench) -> None:
    """An index that was restored from a backup reads again what it lost, whatever a dashboard shows."""
    await single.publish([f"d{number}" for number in range(10)])
    async with single.indexing():
        await single.index_everything()
    assert await single.committed() == {0: 10}
    single.index.documents.clear()
    single.index.watermark = Watermark()
    async with single.indexing():
        await single.index_everything()
    assert len(single.index.documents) == 10


async def test_stopping_commits_what_was_read(single: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read twice for a polite stop."""
    monkeypatch.setattr(consumer, "IDLE_POLL_SECONDS", 0.3)
    single.set(limits=NEVER)
    await single.publish([f"d{number}" for number in range(30)])
    await produce(single.bootstrap, single.topic, [(b"end", b"not json")])
    async with single.indexing() as stop:
        await single.index.until(lambda: single.index.checks >= 2)
        assert (single.index.commits, await single.dead()) == ([], [])
        stop.set()
    assert [letter.key for letter in await single.dead()] == [b"end"]
    assert [len(changes) for changes in single.index.commits] == [30]
    assert await single.committed() == single.index.watermark.offsets == {0: 31}


async def test_an_indexer_that_is_cancelled_closes_everything(single: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any time; what was not committed is read again."""
    monkeypatch.setattr(consumer, "IDLE_POLL_SECONDS", 0.3)
    single.set(limits=NEVER)
    await single.publish(["a"])
    running = asyncio.create_task(single.indexer().run(asyncio.Event()))
    await single.index.until(lambda: single.index.checks >= 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [writer.closed for writer in single.index.writers] == [True]
    assert single.index.watermark.offsets == {}


async def test_another_cluster_is_noticed(single: Bench) -> None:
    """Offsets of one cluster mean nothing in another, even where they fit."""
    single.index.watermark = Watermark(topic=single.topic, cluster="another", offsets={0: 0})
    with pytest.raises(StreamMismatch, match="from the Kafka cluster another"):
        await asyncio.wait_for(single.indexer().run(asyncio.Event()), PATIENCE)


async def test_an_index_that_must_be_rebuilt_stops_the_indexer(single: Bench) -> None:
    """Trying again would not mend it."""

    async def open_writer() -> IndexWriter:
        raise GenerationUnusable("damaged")

    with pytest.raises(GenerationUnusable):
        await asyncio.wait_for(single.indexer(open_writer).run(asyncio.Event()), PATIENCE)


async def test_a_dead_letter_that_cannot_be_written_holds_the_stream(single: Bench, log: Log) -> None:
    """The watermark must not pass a record that is in no index and in no dead letter; later it is written once."""
    await single.publish(["a"])
    await produce(single.bootstrap, single.topic, [(b"b", b"not json")])
    healthy = single.letters

    class Deaf(DeadLetterPublisher):
        async def publish(self, letter: DeadLetter) -> None:
            if not any(said["event"] == "beginning again" for said in log.events):
                raise StreamUnavailable("nobody takes dead letters")
            assert single.index.watermark.offsets.get(0, 0) <= letter.offset
            await healthy.publish(letter)

    single.letters = Deaf(single.producer, f"{single.topic}.dlq")
    async with single.indexing():
        await single.index_everything()
    assert [letter.key for letter in await single.dead()] == [b"b"]
    assert single.index.documents.keys() == {"a"}


async def test_indexers_that_share_an_index_split_the_partitions(team: Bench) -> None:
    """When one leaves, the other goes on from the watermark that it left; the fake sees every offset once."""
    await team.publish([f"first{number}" for number in range(300)])
    async with team.indexing():
        await team.index.until(lambda: bool(team.index.commits))
        async with team.indexing():
            claims: list[frozenset[int]] = []
            async with asyncio.timeout(PATIENCE):
                while len(claims) != 2 or sorted(itertools.chain(*claims)) != [0, 1, 2]:
                    team.index.claims.clear()
                    await team.publish([f"both{number}" for number in range(60)])
                    await team.index_everything()
                    claims = team.index.open_claims()
        await team.publish([f"after{number}" for number in range(300)])
        await team.index_everything()
    assert len(team.index.documents) == 660
    positions = [(c.position.partition, c.position.offset) for changes in team.index.commits for c in changes]
    assert len(positions) == len(set(positions))
    assert all(isinstance(change, Upsert) for changes in team.index.commits for change in changes)
    assert await team.committed() == team.index.watermark.offsets


async def test_a_broker_that_comes_later_is_awaited(tmp_path: Path, artifacts: Artifacts, log: Log) -> None:
    """The indexer says that it waits, and needs nobody when the broker is there."""
    server = KafkaServer(tmp_path / "kafka", jars=artifacts.kafka_jars, port=free_port(), controller_port=free_port())
    bench = Bench(server.bootstrap, "documents", tmp_path, partitions=1)
    stop = asyncio.Event()
    started = time.monotonic()
    running = asyncio.create_task(bench.indexer().run(stop))
    waiting = await log.until("beginning again")
    assert f"Kafka at {server.bootstrap} does not answer" in waiting["reason"]
    assert time.monotonic() - started < 15
    assert bench.index.writers == []
    with server.running():
        await ensure_topics(
            server.bootstrap, bench.topic, dead_letter_topic="documents.dlq", partitions=1, replication_factor=1
        )
        await bench.publish(["a"])
        await bench.index_everything()
        stop.set()
        await asyncio.wait_for(running, PATIENCE)
    await bench.producer.close()
    assert bench.index.documents.keys() == {"a"}


async def test_nothing_is_read_while_memory_is_short(bench: Bench, log: Log) -> None:
    """The partitions are paused at the hard line, nothing dies or is lost, and reading goes on when memory is free."""
    await bench.publish([f"before{number}" for number in range(60)])
    async with bench.indexing():
        await bench.index_everything()
        bench.memory.use(90)
        await log.until("paused until memory is free")
        await bench.publish([f"while{number}" for number in range(60)])
        polled = bench.index.checks
        await bench.index.until(lambda: bench.index.checks >= polled + 2)
        assert len(bench.index.documents) == 60
        bench.memory.use(10)
        await bench.index_everything()
    assert len(bench.index.documents) == 120
    assert len(bench.index.writers) == 1
