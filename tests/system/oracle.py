"""The topic's compacted view: what every index must equal once it has read everything."""

from streams.change import Position, StoredDocument, Upsert
from streams.codec import decode_change
from streams.errors import UndecodableRecord
from streams.reader import read_topic


async def compacted_view(bootstrap_servers: str, topic: str) -> dict[str, StoredDocument]:
    """Fold the topic to its last version of each document, by the record's own key."""
    view: dict[str, StoredDocument] = {}
    async for record in read_topic(bootstrap_servers, topic):
        position = Position(record.partition, record.offset, record.timestamp)
        try:
            change = decode_change(record.key, record.value, position)
        except UndecodableRecord:
            continue
        if isinstance(change, Upsert):
            view[change.id] = StoredDocument(change.document, position)
        else:
            view.pop(change.id, None)
    return view
