"""One Kafka broker in KRaft mode, controller included, under a directory of ours, from the jars that set-up fetched."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from indexer.durable import replace_file, sync_directory
from infra.setup.artifacts import HOW_TO_SET_UP
from infra.supervisor.ports import LOOPBACK
from infra.supervisor.service import Service, StartError
from infra.supervisor.standalone import running

_FORMAT_WITHIN = 120.0
_REQUEST_WITHIN_MS = 4_000
_LOG4J = Path(__file__).with_name("log4j2.properties")

_MEGABYTE = 1 << 20
_HEAP = ("-Xms256m", "-Xmx256m", "-XX:+AlwaysPreTouch")
"""All of it from the start: a heap that may grow does so for hours, and cannot be told from a leak."""
_TRIM = ("-XX:+IgnoreUnrecognizedVMOptions", "-XX:TrimNativeHeapInterval=60000")
"""Once a minute what is free outside of the heap goes back to the system, as the compilers take tens of MB for moments.
Early versions of Java 17 do not know how.
"""
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",  # a misspelt topic is an error, not a new topic with the wrong settings
    # One broker: every internal topic has one replica, and few partitions so that starting is quick.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker is let in again only when its old session has run out: sooner than after the usual nine seconds.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "1000",
    "log.cleaner.dedupe.buffer.size": str(16 * _MEGABYTE),  # the default is a quarter of the heap it gets here
}


class KafkaServer:
    """One broker and how to run it.

    Loopback only and without authentication: every user of this machine can reach it.

    Args:
        directory: holds its configuration and its topics; made when missing.
        jars: directory of the Kafka jars, see `infra.setup.artifacts`.
        port: where clients connect.
        controller_port: where the broker reaches its own controller.
    """

    def __init__(self, directory: Path, *, jars: Path, port: int, controller_port: int) -> None:
        self._directory = directory.absolute()
        self._topics = self._directory / "topics"
        self._jars = jars
        self._port = port
        self._controller_port = controller_port

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self._port}"

    def prepare(self) -> None:
        """Write the configuration and, once, format the storage.

        Raises:
            StartError: Java or the jars are missing, or the storage cannot be formatted.
        """
        if not self._jars.is_dir():
            raise StartError(f"the Kafka jars are not in {self._jars}: {HOW_TO_SET_UP}")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._configuration, self._properties(self._topics).encode())
        if not self._topics.exists():
            self._format()

    def service(self) -> Service:
        """How to run it; SIGTERM makes it flush and close its logs, so that the next start has nothing to recover."""
        return Service(
            name="kafka",
            argv=(*self._java(*_HEAP, *_TRIM), "kafka.Kafka", str(self._configuration)),
            env=dict(os.environ) | {"LC_ALL": "C"},
            prepare=self.prepare,
            ready=self.ready,
            ready_within=120.0,
            stop_within=30.0,
        )

    async def ready(self) -> bool:
        """Whether the broker serves clients now, see `serving_cluster`.

        Raises:
            StartError: another broker does so at its port; without authentication, nothing else tells them apart.
        """
        serving = await serving_cluster(self.bootstrap)
        if serving is not None and serving != self._cluster():
            raise StartError(f"another Kafka answers at {self.bootstrap}")
        return serving is not None

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Run it for as long as the block, alone; gives the bootstrap address."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with running(self.service(), log=self._directory / "kafka.log"):
            yield self.bootstrap

    @property
    def _configuration(self) -> Path:
        return self._directory / "server.properties"

    def _properties(self, topics: Path) -> str:
        client, controller = f"PLAINTEXT://{self.bootstrap}", f"CONTROLLER://{LOOPBACK}:{self._controller_port}"
        settings = _SETTINGS | {
            "listeners": f"{client},{controller}",
            "advertised.listeners": f"{client},{controller}",
            "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{self._controller_port}",
            "log.dirs": str(topics),
        }
        return "".join(f"{name}={_escape(value)}\n" for name, value in settings.items())

    def _cluster(self) -> str:
        """The id of its cluster, as it was formatted."""
        lines = (self._topics / "meta.properties").read_text().splitlines()
        return next(line for line in lines if line.startswith("cluster.id=")).partition("=")[2]

    def _format(self) -> None:
        """Format aside and rename: an interrupt leaves no half-formatted storage behind."""
        unfinished = self._directory / "topics.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        configuration = self._directory / "format.properties"
        configuration.write_text(self._properties(unfinished))
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        command = [*self._java("-Xmx256m"), "kafka.tools.StorageTool", "format", "--standalone"]
        command += [f"--cluster-id={cluster}", f"--config={configuration}"]  # an id may begin with a dash
        result = subprocess.run(  # noqa: S603 - Kafka's own tool on our own directory
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_FORMAT_WITHIN
        )
        if result.returncode != 0:
            raise StartError(f"cannot format Kafka's storage in {self._directory}: {result.stdout.strip()[-2000:]}")
        configuration.unlink()
        unfinished.rename(self._topics)
        sync_directory(self._directory)

    def _java(self, *memory: str) -> tuple[str, ...]:
        java = shutil.which("java")
        if java is None:
            raise StartError("Java is missing: install a JDK 17 or newer, or set KAFKA_BOOTSTRAP_SERVERS")
        options = ("-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true", f"-Dlog4j2.configurationFile={_LOG4J}")
        return (java, *memory, *options, "-cp", f"{self._jars}/*")


async def serving_cluster(bootstrap: str) -> str | None:
    """The id of the cluster there, once it has a controller elected and a broker that takes requests; else None.

    Raises:
        OSError: nobody listens there.
    """
    host, _, port = bootstrap.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))  # the client would log each refusal as an error
    writer.close()
    client = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_WITHIN_MS, client_id="ready-probe"
    )
    try:
        await client.start()
        seen = await client.describe_cluster()
        serves = seen["controller_id"] >= 0 and bool(seen["brokers"])
        return str(seen["cluster_id"]) if serves else None
    except KafkaError:
        return None
    finally:
        await client.close()


def _escape(value: str) -> str:
    r"""Escape a value for a Java properties file, where `\` begins an escape."""
    return value.replace("\\", "\\\\")
