"""Where the truth is that indexes are held against."""

import msgspec

from streams.cluster import KafkaAddress


class TopicAddress(msgspec.Struct, frozen=True):
    """A topic of documents.

    Attributes:
        kafka: where it is, and how to get in.
        topic: of documents.
        dead_letter_topic: of what could not be indexed.
    """

    kafka: KafkaAddress
    topic: str
    dead_letter_topic: str
