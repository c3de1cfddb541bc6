"""What Kafka says of a topic: its id among it, which aiokafka does not ask for.

A topic that is deleted and made again under its name is another one, and only the id tells (KIP-516, Kafka 2.8). The
messages are those of version 10 of the Metadata API: https://kafka.apache.org/protocol#The_Messages_Metadata
"""

from base64 import urlsafe_b64encode
from io import BytesIO
from typing import Any, Final

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_UUID_BYTES: Final = 16
_API_KEY: Final = 3
_VERSION: Final = 10


class TopicMetadata(msgspec.Struct, frozen=True):
    """A topic as one broker knows it.

    Attributes:
        cluster: the Kafka cluster's id.
        topic_id: as Kafka's own tools print it.
        partitions: their numbers.
    """

    cluster: str
    topic_id: str
    partitions: list[int]


async def read_topic_metadata(admin: AIOKafkaAdminClient, topic: str) -> TopicMetadata | None:
    """Ask for a topic; None where there is none.

    Raises:
        KafkaError: Kafka refuses, or is older than 2.8.
    """
    try:
        response = (await admin._send_request(_MetadataRequest(topic))).to_object()  # noqa: SLF001 - there is no public way to send a request of one's own
    except NotImplementedError as exc:
        raise IncompatibleBrokerVersion("Kafka is older than 2.8, and tells no ids of topics") from exc
    (described,) = response["topics"]
    if described["error_code"] == UnknownTopicOrPartitionError.errno:
        return None
    if described["error_code"]:
        raise for_code(described["error_code"])(f"Kafka does not describe the topic {topic}")
    return TopicMetadata(
        cluster=str(response["cluster_id"]),
        topic_id=urlsafe_b64encode(described["topic_id"]).decode().rstrip("="),
        partitions=sorted(each["partition"] for each in described["partitions"]),
    )


class _Uuid(AbstractType[bytes]):  # type: ignore[misc] # aiokafka ships no types
    """16 bytes as they are."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(_UUID_BYTES)

    @classmethod
    def repr(cls, value: bytes) -> str:
        return value.hex()


class _MetadataResponse(Response):  # type: ignore[misc] # aiokafka ships no types
    API_KEY = _API_KEY
    API_VERSION = _VERSION
    FLEXIBLE_VERSION = True
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc] # aiokafka ships no types
    API_KEY = _API_KEY
    API_VERSION = _VERSION
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc] # aiokafka ships no types
    API_KEY = _API_KEY

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: Any) -> Any:  # noqa: ANN401 - see above
        fields = [(bytes(_UUID_BYTES), self._topic, {})], *[False] * 3, {}  # nothing is created, nor are rights told
        return request_struct_class(*fields)
