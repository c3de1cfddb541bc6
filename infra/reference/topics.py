"""Writes `docs/topics.md`: `python -m infra.reference.topics > docs/topics.md`."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from infra.reference.markdown import table
from infra.reference.schemas import Json, fields_table
from streams.asyncapi import asyncapi_document
from streams.dead_letters import DeadLetter, dead_letter_headers
from streams.settings import Settings, variable
from streams.topics import DEAD_LETTER_TOPIC_SETTINGS, DOCUMENT_TOPIC_SETTINGS

_HEADERS: Final = {
    "error-class": "stable name of the reason, the label `error` of `embed_search_dead_letters_total`",
    "error-message": "the reason in words, one line",
    "source-topic": "where the record was read from",
    "source-partition": "its partition",
    "source-offset": "its offset",
    "index": "the index that could not take it; `*` when none can",
    "attempts": "how often indexing was tried",
    "time": "when it was filed, UTC",
}


def topics_page() -> str:
    """The page, in Markdown."""
    topic: str = Settings.model_fields["topic"].default
    document: Json = json.loads(asyncapi_document(topic, f"{topic}.dlq", bootstrap_servers="kafka:9092", version=""))
    record: Json = document["components"]["schemas"]["Document"]
    return f"""# Topics

Made from the AsyncAPI 3.0 document that a running system answers at `/asyncapi.json`, and from the settings that
indexers create missing topics with; a topic that exists is left as it is. The names come from `{variable("topic")}`,
the number of partitions and replicas from `{variable("partitions")}` and `{variable("replication_factor")}`. W3C
`traceparent` travels in the headers of records. Kafka says when a record came, whatever the clock of its producer says;
a topic of yours with `message.timestamp.type=CreateTime` refuses records of producers whose clocks are an hour ahead,
and lag in seconds is as wrong as their clocks are.

## `{topic}`

{document["channels"]["documents"]["description"]}. Key: the document's id in UTF-8. Value: JSON as below, or null,
which deletes. Other fields than these are kept under `metadata`. What cannot be decoded, breaks a limit, or has a key
that is not its `id` goes to the dead letters, and the stream goes on.

{fields_table(record)}
{_settings(DOCUMENT_TOPIC_SETTINGS)}
## `{topic}.dlq`

Records that cannot be indexed: key and value byte for byte as they were received, and these headers beside the
record's own trace. A value that is too large for Kafka once unpacked is left out, and `value-omitted` tells its size
and SHA-256.

{table(["header", "meaning"], ((f"`{name}`", _HEADERS[name]) for name in _header_names()))}
{_settings(DEAD_LETTER_TOPIC_SETTINGS)}"""


def _settings(settings: Mapping[str, str]) -> str:
    return table(["setting of the topic", "value"], ((f"`{name}`", f"`{value}`") for name, value in settings.items()))


def _header_names() -> list[str]:
    return list(dead_letter_headers(DeadLetter(None, None, "", 0, 0, "*", "", ""), datetime.now(UTC)))


if __name__ == "__main__":
    print(topics_page(), end="")  # noqa: T201 - standard output is where the page goes
