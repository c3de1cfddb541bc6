"""Ways into a real broker that does not let everybody in: those that must work and those that must not."""

import asyncio
import gc
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from indexer.feed import Feed
from infra.corpus.publish import CorpusPublisher
from streams.broker import CONNECT_TIMEOUT_SECONDS
from streams.cluster import KafkaCluster, kafka_cluster
from streams.dead_letter_log import purge_dead_letters, read_dead_letters
from streams.dead_letter_replay import DeadLetterReplay
from streams.document import Document, DocumentId
from streams.errors import SettingsError, StreamUnavailable
from streams.publisher import DocumentPublisher, OutgoingRecord, RecordProducer
from streams.reader import read_topic
from streams.settings import Settings
from streams.topics import OffsetProbe, ensure_topics, read_offsets
from tests.services.certificates import Certificates, encrypted_key
from tests.services.secured_kafka import PASSWORD, USER, SecuredKafka

PATIENCE = 3 * CONNECT_TIMEOUT_SECONDS
"""A refusal takes one attempt, and one look at why."""

SASL = {"kafka_sasl_user": USER, "kafka_sasl_password": PASSWORD}


@pytest.fixture(autouse=True)
def sockets_of_refused_connections() -> Iterator[None]:
    """Clients close them later, and a test's event loop may end before they are, which no other test shall see."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def settings_of(address: str, protocol: str, **fields: Any) -> Settings:
    """Settings of this cluster, and otherwise the usual ones."""
    given = {"kafka_bootstrap_servers": address, "kafka_security_protocol": protocol, **fields}
    return Settings.model_validate(given, by_name=True)


def cluster_of(address: str, protocol: str, **fields: Any) -> KafkaCluster:
    """The same, ready to connect."""
    return kafka_cluster(settings_of(address, protocol, **fields))


async def every_client_works(kafka: KafkaCluster) -> None:
    """Topics are made, and documents written and read, by each kind of client that there is."""
    topic = f"test-{uuid4().hex}"
    letters = f"{topic}.dlq"
    await ensure_topics(kafka, topic, dead_letter_topic=letters, partitions=1, replication_factor=1)
    producer = RecordProducer(kafka, client_id="test")
    async with DocumentPublisher(producer, topic).session() as session:
        await session.put(Document(id=DocumentId("a"), body="text"))
    await producer.confirm(await producer.send(OutgoingRecord(letters, b"a", b"bad")))
    await producer.close()
    assert (await read_offsets(kafka, topic)).end == {0: 1}
    assert [record.key async for record in read_topic(kafka, topic)] == [b"a"]
    feed = Feed(kafka, topic, group=topic)
    await feed.assign([0])
    feed.seek({0: 0})
    assert [record.key for record in await feed.poll(max_records=1, timeout=10)] == [b"a"]
    await feed.commit({0: 1})
    await feed.stop()
    assert len([filed async for filed in read_dead_letters(kafka, letters)]) == 1
    assert (await DeadLetterReplay(kafka, topic, letters).plan(lambda _: True)).letters == {}
    assert await purge_dead_letters(kafka, letters) == 1
    corpus = CorpusPublisher(kafka, topic, on_progress=lambda _: None)
    assert (await corpus.publish([], delete_missing_from="nobody")).deleted == 0


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
async def test_a_password_lets_every_client_in(
    secured_kafka: SecuredKafka, certificates: Certificates, protocol: str, mechanism: str
) -> None:
    """With each mechanism, and over TLS once the broker's authority is known."""
    authority = {"kafka_ca_file": certificates.authority} if protocol == "SASL_SSL" else {}
    kafka = cluster_of(secured_kafka.addresses[protocol], protocol, kafka_sasl_mechanism=mechanism, **SASL, **authority)
    await every_client_works(kafka)


async def test_a_certificate_lets_every_client_in(secured_kafka: SecuredKafka, certificates: Certificates) -> None:
    """The key may be in the file of the certificate, or in one of its own."""
    files = {"kafka_ca_file": certificates.authority, "kafka_certificate_file": certificates.client}
    address = secured_kafka.addresses["MUTUAL"]
    await every_client_works(cluster_of(address, "SSL", **files))
    assert await read_end(cluster_of(address, "SSL", **files, kafka_key_file=certificates.client)) is not None


async def read_end(kafka: KafkaCluster) -> object:
    """Any question at all."""
    topic = f"test-{uuid4().hex}"
    await ensure_topics(kafka, topic, dead_letter_topic=f"{topic}.dlq", partitions=1, replication_factor=1)
    return (await read_offsets(kafka, topic)).end


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """Kafka is unavailable, soon, for the reason that is named, and the password is not told."""
    began = time.monotonic()
    with pytest.raises(StreamUnavailable) as refusal:
        yield
    assert time.monotonic() - began < PATIENCE
    message = str(refusal.value)
    assert [word for word in words if word not in message] == [], message
    assert PASSWORD not in message


async def nobody_gets_in(kafka: KafkaCluster, *words: str) -> None:
    """Each kind of client is refused with these words."""
    producer, probe = RecordProducer(kafka, client_id="test"), OffsetProbe(kafka, "documents")
    feed = Feed(kafka, "documents", group="test")
    with refused(*words):
        await ensure_topics(kafka, "documents", dead_letter_topic="documents.dlq", partitions=1, replication_factor=1)
    with refused(*words):
        await producer.send(OutgoingRecord("documents", b"a", b"secret"))
    with refused(*words):
        await probe.read()
    with refused(*words):
        await feed.assign([0])
    with refused(*words):
        _ = [record async for record in read_topic(kafka, "documents")]
    await asyncio.gather(producer.close(), probe.close(), feed.stop())


async def test_a_broker_that_a_stranger_vouches_for_gets_nothing(
    secured_kafka: SecuredKafka, certificates: Certificates
) -> None:
    """With another authority the certificate is not believed, and neither record nor password is sent."""
    for protocol, secrets in (("SSL", {}), ("SASL_SSL", SASL)):
        kafka = cluster_of(secured_kafka.addresses[protocol], protocol, kafka_ca_file=certificates.stranger, **secrets)
        await nobody_gets_in(kafka, "EMBED_SEARCH_KAFKA_CA_FILE", "unable to get local issuer certificate")


async def test_without_an_authority_those_of_the_machine_are_asked(secured_kafka: SecuredKafka) -> None:
    """Which know nothing of ours; no setting at all means no less checking."""
    await nobody_gets_in(cluster_of(secured_kafka.addresses["SSL"], "SSL"), "EMBED_SEARCH_KAFKA_CA_FILE")


async def test_a_certificate_for_another_name_gets_nothing(
    secured_kafka: SecuredKafka, certificates: Certificates
) -> None:
    """The authority is right and the host is not: whoever has some certificate of it is not therefore the broker."""
    for protocol, secrets in (("SSL", {}), ("SASL_SSL", SASL)):
        address = secured_kafka.addresses[protocol].replace("localhost", "127.0.0.1")
        kafka = cluster_of(address, protocol, kafka_ca_file=certificates.authority, **secrets)
        await nobody_gets_in(kafka, "EMBED_SEARCH_KAFKA_CA_FILE", "127.0.0.1")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_named(
    secured_kafka: SecuredKafka, certificates: Certificates, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The message says which settings to look at, and neither it nor any log has the password."""
    wrong = "f00f-wrong-f00f"
    kafka = cluster_of(
        secured_kafka.addresses["SASL_SSL"],
        "SASL_SSL",
        kafka_ca_file=certificates.authority,
        kafka_sasl_mechanism=mechanism,
        kafka_sasl_user=USER,
        kafka_sasl_password=wrong,
    )
    await nobody_gets_in(kafka, "EMBED_SEARCH_KAFKA_SASL_USER", "EMBED_SEARCH_KAFKA_SASL_PASSWORD")
    assert wrong not in caplog.text
    assert wrong not in repr(kafka)


async def test_no_certificate_or_a_stray_one_is_named(secured_kafka: SecuredKafka, certificates: Certificates) -> None:
    """A broker that asks for a certificate hangs up, and the message says that it may want one."""
    for given in ({}, {"kafka_certificate_file": certificates.stray}):
        kafka = cluster_of(secured_kafka.addresses["MUTUAL"], "SSL", kafka_ca_file=certificates.authority, **given)
        await nobody_gets_in(kafka, "EMBED_SEARCH_KAFKA_CERTIFICATE_FILE")


@pytest.mark.parametrize(
    ("listener", "protocol"),
    [
        ("SASL_SSL", "PLAINTEXT"),
        ("SSL", "PLAINTEXT"),
        ("SASL_SSL", "SSL"),
        ("SASL_SSL", "SASL_PLAINTEXT"),
        ("SASL_PLAINTEXT", "PLAINTEXT"),
        ("SASL_PLAINTEXT", "SASL_SSL"),
        ("SSL", "SASL_SSL"),
    ],
)
async def test_the_wrong_protocol_is_refused_and_hangs_nothing(
    secured_kafka: SecuredKafka, certificates: Certificates, listener: str, protocol: str
) -> None:
    """Whatever is dialled with whatever, there is an error within the usual time."""
    given: dict[str, Any] = dict(SASL) if protocol.startswith("SASL") else {}
    if protocol.endswith("SSL"):
        given["kafka_ca_file"] = certificates.authority
    await nobody_gets_in(cluster_of(secured_kafka.addresses[listener], protocol, **given))


def test_a_password_may_be_in_a_file(tmp_path: Path) -> None:
    """As orchestrators mount them; the newline that editors add is none of it."""
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    kafka = cluster_of("localhost:1", "SASL_PLAINTEXT", kafka_sasl_user=USER, kafka_sasl_password_file=path)
    assert kafka.password.get_secret_value() == PASSWORD
    assert PASSWORD not in repr(kafka)
    assert str(kafka) == "localhost:1"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("kafka_sasl_password_file", b""),
        ("kafka_sasl_password_file", b"\xff\xfe" + PASSWORD.encode()),
        ("kafka_sasl_password_file", b"x" * 5_000),
        ("kafka_sasl_password_file", None),
        ("kafka_ca_file", b"no certificate"),
        ("kafka_ca_file", None),
        ("kafka_certificate_file", b"no certificate"),
        ("kafka_certificate_file", None),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    """Before anything is connected, without what is in it."""
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    password = {} if name == "kafka_sasl_password_file" else {"kafka_sasl_password": PASSWORD}
    with pytest.raises(SettingsError, match=f"^EMBED_SEARCH_{name.upper()}") as refusal:
        cluster_of("localhost:1", "SASL_SSL", kafka_sasl_user=USER, **password, **{name: path})
    assert PASSWORD not in str(refusal.value)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(
    tmp_path: Path, certificates: Certificates
) -> None:
    """A server has no terminal to answer at."""
    key = tmp_path / "key.pem"
    key.write_bytes(encrypted_key(certificates.client))
    with pytest.raises(SettingsError, match="EMBED_SEARCH_KAFKA_KEY_FILE"):
        cluster_of("localhost:1", "SSL", kafka_certificate_file=certificates.client, kafka_key_file=key)


def test_nobody_takes_the_address_without_what_it_takes_to_get_in() -> None:
    """A client that is made from the address alone would work on a Kafka that lets everybody in, and on no other."""
    root = Path(__file__).parents[2]
    sources = (path for package in ("streams", "indexer", "api", "infra") for path in (root / package).rglob("*.py"))
    assert [str(path) for path in sources if "str(settings.kafka_bootstrap_servers)" in path.read_text()] == []
