"""The services in containers, for machines where a Docker engine answers."""

import asyncio
import contextlib
import gc
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import docker
from docker.errors import DockerException
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from infra.kafka.server import serving_cluster
from infra.postgres.server import answers_queries
from infra.supervisor.ports import free_port

KAFKA_IMAGE = "apache/kafka:4.1.1"
POSTGRES_IMAGE = "pgvector/pgvector:pg18"

_ENGINE_ANSWERS_WITHIN = 5
_READY_WITHIN = 120.0
_PROBE_EVERY = 0.2


def docker_answers() -> bool:
    """Whether there is a Docker engine to talk to."""
    with warnings.catch_warnings():
        # A refused connection leaves a socket behind for the garbage collector, which warns when it closes it.
        warnings.simplefilter("ignore", ResourceWarning)
        answers = _ping_docker()
        gc.collect()
    return answers


@contextlib.contextmanager
def kafka() -> Iterator[str]:
    """Run a broker; gives its bootstrap address."""
    port = free_port()  # clients are sent to the advertised port, so it must be known before the start
    bootstrap = f"{DockerClient().host()}:{port}"
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{bootstrap}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
    with DockerContainer(KAFKA_IMAGE, env=settings).with_bind_ports(9092, port):
        _wait_until(lambda: serving_cluster(bootstrap), what=KAFKA_IMAGE)
        yield bootstrap


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL with pgvector; gives its connection string."""
    with PostgresContainer(POSTGRES_IMAGE, driver=None) as container:
        dsn: str = container.get_connection_url()
        _wait_until(lambda: answers_queries(dsn), what=POSTGRES_IMAGE)
        yield dsn


def _ping_docker() -> bool:
    try:
        with contextlib.closing(docker.from_env(timeout=_ENGINE_ANSWERS_WITHIN)) as client:
            return bool(client.ping())
    except (DockerException, OSError):
        return False


def _wait_until(ready: Callable[[], Awaitable[object]], *, what: str) -> None:
    async def probe() -> bool:
        try:
            return bool(await ready())
        except OSError:
            return False

    deadline = time.monotonic() + _READY_WITHIN
    pause = Event()
    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
        while not thread.submit(asyncio.run, probe()).result():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} was not ready after {_READY_WITHIN:.0f} s")
            pause.wait(_PROBE_EVERY)
