"""The one way to reach Kafka: a FastStream broker whose producer is idempotent and whose consumers never commit alone.

FastStream's default acknowledgement commits before the work is done, and its `ack()` commits every partition's
position. So subscribers are made with `AckPolicy.MANUAL` and without a handler: the caller polls the subscriber's
consumer and commits exact offsets after its index did.
"""

from typing import Any, Final

from faststream.kafka import KafkaBroker
from faststream.kafka.publisher.producer import AioKafkaFastProducerImpl

from streams.cluster import KafkaAddress, broker_security

MAX_RECORD_BYTES: Final = 33_554_432
"""Largest record that is accepted: a body at its largest limit, written as JSON, with room to spare. A record beyond
the document limits must still reach an indexer, which is who dead-letters it."""

MAX_DEAD_LETTER_BYTES: Final = MAX_RECORD_BYTES + 65_536
"""The largest record as received, and the headers that explain it: it must fit, else it would stop the stream."""

CONNECT_TIMEOUT_SECONDS: Final = 10.0
REQUEST_TIMEOUT_MS: Final = 10_000


def make_broker(bootstrap_servers: KafkaAddress, *, client_id: str, consumer_only: bool = False) -> KafkaBroker:
    """Build a broker; nothing is connected yet.

    Args:
        bootstrap_servers: of Kafka, and how to get in.
        client_id: shown in the Kafka cluster's own logs and quotas.
        consumer_only: whether it never produces, and so connects nothing for it.
    """
    broker = KafkaBroker(
        str(bootstrap_servers).split(","),
        security=broker_security(bootstrap_servers),
        client_id=client_id,
        consumer_only=consumer_only,
        allow_auto_create_topics=False,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=262_144,
        max_request_size=MAX_DEAD_LETTER_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        logger=None,  # aiokafka logs what matters; FastStream would say it again
        apply_types=False,
    )
    broker.config.broker_config.producer = _ClosedOnFailure(parser=None, decoder=None)
    return broker


class _ClosedOnFailure(AioKafkaFastProducerImpl):
    """FastStream forgets a producer that did not start, and its connections with it; this one closes it."""

    async def connect(self, producer: Any, serializer: Any, codec: Any = None) -> None:  # noqa: ANN401 - FastStream's own
        try:
            await super().connect(producer, serializer, codec)
        except BaseException:
            await producer.stop()
            raise
