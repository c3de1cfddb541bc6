"""The topics, the settings they must have, and their offsets.

`documents` is compacted: it keeps the newest record of every key for ever and is the source of truth. Tombstones must
outlive the longest absence of an indexer, else the indexer would never learn of the deletion.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.broker import CONNECT_TIMEOUT_SECONDS, MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES, REQUEST_TIMEOUT_MS
from streams.cluster import KafkaAddress, client_arguments, unavailable
from streams.errors import StreamUnavailable
from streams.topic_metadata import read_topic_metadata

_DAY_MS: Final = 86_400_000
TOMBSTONE_RETENTION_MS: Final = 7 * _DAY_MS
"""How long a tombstone stays readable; an indexer that was away for longer must be rebuilt."""

_TOMBSTONE_RETENTION: Final = "delete.retention.ms"

_ONE_CLOCK: Final = {"message.timestamp.type": "LogAppendTime"}
"""The broker says when a record came: of producers whose clocks are ahead it would refuse records, and lag be wrong."""

DOCUMENT_TOPIC_SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    _TOMBSTONE_RETENTION: str(TOMBSTONE_RETENTION_MS),
    "max.message.bytes": str(MAX_RECORD_BYTES),
    "min.cleanable.dirty.ratio": "0.3",
    **_ONE_CLOCK,
}
DEAD_LETTER_TOPIC_SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": str(30 * _DAY_MS),
    "max.message.bytes": str(MAX_DEAD_LETTER_BYTES),
    **_ONE_CLOCK,
}

_log = structlog.stdlib.get_logger(__name__)


class TopicOffsets(msgspec.Struct, frozen=True):
    """The readable range of a topic, as Kafka gives it at one moment.

    Attributes:
        cluster: the Kafka cluster's id.
        topic_id: Kafka's id of the topic.
        beginning: first offset by partition.
        end: the offset that the next record will get, by partition.
    """

    cluster: str
    beginning: dict[int, int]
    end: dict[int, int]
    topic_id: str = ""


class OffsetSource(Protocol):
    """Knows the readable range of the topic."""

    async def read(self) -> TopicOffsets:
        """The range now.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


async def ensure_topics(
    bootstrap_servers: KafkaAddress, topic: str, *, dead_letter_topic: str, partitions: int, replication_factor: int
) -> None:
    """Create both topics where they are missing; an existing topic is left as it is.

    Raises:
        StreamUnavailable: Kafka does not answer, or refuses.
    """
    wanted = [
        NewTopic(topic, partitions, replication_factor, topic_configs=dict(DOCUMENT_TOPIC_SETTINGS)),
        NewTopic(dead_letter_topic, 1, replication_factor, topic_configs=dict(DEAD_LETTER_TOPIC_SETTINGS)),
    ]
    async with open_admin(bootstrap_servers) as admin:
        response = await admin.create_topics(wanted, timeout_ms=REQUEST_TIMEOUT_MS)
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            reason = rest[0] if rest and rest[0] else error.__name__
            raise StreamUnavailable(f"Kafka refused to create the topic {name}: {reason}")
        if not code:
            _log.info("topic created", topic=name)


async def read_offsets(bootstrap_servers: KafkaAddress, topic: str) -> TopicOffsets:
    """Ask for the readable range of a topic.

    Raises:
        StreamUnavailable: Kafka does not answer, or has no such topic.
    """
    probe = OffsetProbe(bootstrap_servers, topic)
    try:
        return await probe.read()
    finally:
        await probe.close()


class OffsetProbe:
    """Asks for the readable range of a topic over connections that are kept.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        topic: the topic's name.
    """

    def __init__(self, bootstrap_servers: KafkaAddress, topic: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._connections: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None
        self._reading: asyncio.Task[TopicOffsets] | None = None

    async def read(self) -> TopicOffsets:
        """The range now; callers at the same time share one look.

        A caller that gives up does not stop it: aiokafka leaves sockets open where a connect is cancelled.

        Raises:
            StreamUnavailable: Kafka does not answer, or has no such topic.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._look())
            self._reading.add_done_callback(_seen)
        return await asyncio.shield(self._reading)

    async def tombstone_retention_ms(self) -> int:
        """How long the topic keeps tombstones; a day, Kafka's default, where this client may not know.

        Raises:
            StreamUnavailable: Kafka does not answer.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                admin, _ = await self._connected()
                resource = ConfigResource(ConfigResourceType.TOPIC, self._topic, {_TOMBSTONE_RETENTION: None})
                (response,) = await admin.describe_configs([resource])
        except (KafkaError, TimeoutError, OSError) as exc:
            await self._disconnect()
            raise await unavailable(self._bootstrap_servers, "does not answer", exc) from exc
        ((error, reason, _, _, entries),) = response.resources
        if error:
            _log.warning("the topic's settings cannot be read", topic=self._topic, reason=reason)
            return _DAY_MS
        return next((int(value) for name, value, *_ in entries if name == _TOMBSTONE_RETENTION), _DAY_MS)

    async def close(self) -> None:
        """Close the connections, once the look that is under way has ended."""
        if self._reading is not None:
            await asyncio.wait({self._reading})
        await self._disconnect()

    async def _look(self) -> TopicOffsets:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                return await self._read(*await self._connected())
        except (KafkaError, TimeoutError, OSError) as exc:
            await self._disconnect()
            raise await unavailable(self._bootstrap_servers, "does not answer", exc) from exc

    async def _connected(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._connections is None:
            arguments = client_arguments(self._bootstrap_servers) | {"request_timeout_ms": REQUEST_TIMEOUT_MS}
            admin = AIOKafkaAdminClient(**arguments)
            consumer = AIOKafkaConsumer(**arguments, enable_auto_commit=False)
            try:
                await admin.start()
                await consumer.start()
            except BaseException:  # a caller that gave up included: half a connection must not be kept
                await _close(admin, consumer)
                raise
            self._connections = (admin, consumer)
        return self._connections

    async def _disconnect(self) -> None:
        connections, self._connections = self._connections, None
        if connections is not None:
            await _close(*connections)

    async def _read(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> TopicOffsets:
        metadata = await read_topic_metadata(admin, self._topic)
        if metadata is None:
            raise StreamUnavailable(f"Kafka at {self._bootstrap_servers} has no topic {self._topic!r}")
        partitions = [TopicPartition(self._topic, number) for number in metadata.partitions]
        beginning = await consumer.beginning_offsets(partitions)
        end = await consumer.end_offsets(partitions)
        return TopicOffsets(
            cluster=metadata.cluster,
            topic_id=metadata.topic_id,
            beginning={partition.partition: offset for partition, offset in beginning.items()},
            end={partition.partition: offset for partition, offset in end.items()},
        )


def _seen(reading: "asyncio.Task[TopicOffsets]") -> None:
    """Take note of a failure that nobody waited for any more, which asyncio would report otherwise."""
    if not reading.cancelled():
        reading.exception()


async def _close(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await consumer.stop()
            await admin.close()
    except (KafkaError, TimeoutError, OSError) as exc:
        _log.warning("connection to Kafka did not close cleanly", error=repr(exc))


@asynccontextmanager
async def open_admin(bootstrap_servers: KafkaAddress) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connection for administration, for as long as the block runs.

    Raises:
        StreamUnavailable: Kafka does not answer.
    """
    client = AIOKafkaAdminClient(**client_arguments(bootstrap_servers), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await client.start()
        yield client
    except (KafkaError, TimeoutError, OSError) as exc:
        raise await unavailable(bootstrap_servers, "does not answer", exc) from exc
    finally:
        await client.close()
