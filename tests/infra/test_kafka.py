import contextlib
import os
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.kafka.server import KafkaServer, serving_cluster
from infra.setup.artifacts import Artifacts
from infra.supervisor.ports import free_port
from infra.supervisor.service import StartError

pytestmark = pytest.mark.services


async def test_records_survive_a_kill_and_other_ports(tmp_path: Path, artifacts: Artifacts) -> None:
    """Acknowledged is kept, through kill -9 and a change of both ports; what a broken first format left is not."""
    (tmp_path / "topics.unfinished").mkdir()
    (tmp_path / "topics.unfinished" / "meta.properties").write_text("rubbish")
    with _broker(tmp_path, artifacts).running() as bootstrap:
        assert await serving_cluster(bootstrap)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True) as producer:
            await producer.send_and_wait("kept", b"value")
        _broker_process(tmp_path).kill()
    with _broker(tmp_path, artifacts).running() as bootstrap:
        async with AIOKafkaConsumer("kept", bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
            assert (await consumer.getone()).value == b"value"


async def test_topics_are_not_made_by_mistyping(kafka_bootstrap: str) -> None:
    """Asking for a topic that nobody made does not make it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    with contextlib.suppress(Exception):  # how the refusal is worded is the client's business
        await admin.describe_topics(["mistyped"])
    assert "mistyped" not in await admin.list_topics()
    await admin.close()


async def test_nobody_listening_is_not_ready() -> None:
    """The probe says so with the error of the network, and logs nothing."""
    with pytest.raises(OSError, match="Connect call failed"):
        await serving_cluster(f"127.0.0.1:{free_port()}")


async def test_another_broker_at_its_port_is_not_taken_for_it(
    tmp_path: Path, artifacts: Artifacts, kafka_bootstrap: str
) -> None:
    """Nobody is let in to a broker that keeps somebody else's documents."""
    port = int(kafka_bootstrap.rpartition(":")[2])
    server = KafkaServer(tmp_path / "kafka", jars=artifacts.kafka_jars, port=port, controller_port=free_port())
    server.prepare()
    with pytest.raises(StartError, match=f"another Kafka answers at {kafka_bootstrap}"):
        await server.ready()


def test_missing_jars_are_named(tmp_path: Path) -> None:
    """The message says where they were looked for and what makes them."""
    server = KafkaServer(tmp_path, jars=tmp_path / "jars", port=1, controller_port=2)
    with pytest.raises(StartError, match=r"the Kafka jars are not in .*jars: run `make setup`"):
        server.prepare()


def test_missing_java_is_one_line(tmp_path: Path, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java may have been removed since set-up: the message says what to install."""
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(StartError, match="Java is missing: install a JDK 17 or newer"):
        _broker(tmp_path / "kafka", artifacts).prepare()


def _broker_process(directory: Path) -> psutil.Process:
    ours = psutil.Process().children()
    return next(child for child in ours if str(directory / "server.properties") in child.cmdline())


def _broker(directory: Path, artifacts: Artifacts) -> KafkaServer:
    return KafkaServer(directory, jars=artifacts.kafka_jars, port=free_port(), controller_port=free_port())
