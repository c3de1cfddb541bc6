"""A topic with a past, the same for a seed: new documents, updates, deletions, and records that nobody can index."""

import random
from typing import Final

from streams.document import Document, DocumentId
from streams.publisher import DocumentPublisher, OutgoingRecord, RecordProducer
from streams.settings import Settings
from streams.topics import ensure_topics

WORDS: Final = ("offset", "segment", "posting", "merge", "commit", "broker", "vector", "passage", "regex", "fusion")

_BAD_VALUE: Final = b'{"body": 7}'


async def publish_history(settings: Settings, numbers: range, dice: random.Random, *, bad_share: float = 0.0) -> None:
    """New documents, with updates and deletions of any that came before, in a mixed order.

    Args:
        settings: the topic, made where it is missing.
        numbers: of the new documents.
        dice: what is drawn with.
        bad_share: how many records that cannot be indexed come beside each new document.
    """
    servers = str(settings.kafka_bootstrap_servers)
    await ensure_topics(
        servers,
        settings.topic,
        dead_letter_topic=settings.dead_letter_topic,
        partitions=settings.partitions,
        replication_factor=1,
    )
    producer = RecordProducer(servers, client_id="history")
    try:
        async with DocumentPublisher(producer, settings.topic).session() as session:
            for number in numbers:
                await session.put(version(number, 1, dice))
                if dice.random() < 0.2:
                    await session.put(version(dice.randrange(number + 1), 2, dice))
                if dice.random() < 0.05:
                    await session.delete(f"doc/{dice.randrange(number + 1)}")
                if dice.random() < bad_share:
                    bad = OutgoingRecord(settings.topic, f"bad/{number}".encode(), _BAD_VALUE, {})
                    await producer.confirm(await producer.send(bad))
    finally:
        await producer.close()


def version(number: int, revision: int, dice: random.Random) -> Document:
    """One version of a document, its text telling which."""
    body = f"document {number} revision {revision}: {' '.join(dice.choices(WORDS, k=8))}"
    return Document(id=DocumentId(f"doc/{number}"), title=f"Document {number}", body=body)
