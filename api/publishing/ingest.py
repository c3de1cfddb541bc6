"""Publishes documents line by line as they arrive, in bounded memory: no line and no window of lines is unbounded."""

from typing import Final

from api.messages.body import LineReader
from api.messages.responses import RejectedLine
from streams.codec import MAX_JSON_OVERHEAD, parse_document
from streams.errors import InvalidDocument, StreamUnavailable, UndecodableRecord
from streams.publisher import DocumentPublisher, PublishSession

MAX_REJECTED: Final = 1_000
"""Rejected lines that an answer lists."""

MAX_UNACKNOWLEDGED_BYTES: Final = 16_777_216
"""Sent lines are kept until Kafka has them; with more than this, reading waits."""

_MAX_DETAIL_CHARACTERS: Final = 500


def line_limit(max_body_bytes: int) -> int:
    """Bytes of a line beyond which no document can be valid."""
    return MAX_JSON_OVERHEAD * max_body_bytes


class Ingest:
    """Publishes one stream of NDJSON lines.

    Args:
        publisher: to the topic of documents.
        max_body_bytes: limit of a document's body.

    Attributes:
        accepted: lines that were published.
        rejected: lines that were not, the first `MAX_REJECTED` of them.
        rejected_total: how many were not.
    """

    def __init__(self, publisher: DocumentPublisher, max_body_bytes: int) -> None:
        self._publisher = publisher
        self._max_body_bytes = max_body_bytes
        self._unacknowledged_bytes = 0
        self.accepted = 0
        self.rejected: list[RejectedLine] = []
        self.rejected_total = 0

    async def run(self, lines: LineReader) -> str:
        """Publish all lines that are documents; gives the token that covers them.

        Raises:
            StreamUnavailable: Kafka stopped taking them.
        """
        try:
            async with self._publisher.session() as session:
                number = 0
                async for line in lines:
                    number += 1
                    await self._take(number, line, session)
        except StreamUnavailable as exc:
            raise StreamUnavailable(
                f"{exc}; {self.accepted} lines were sent, publish all again: the same ids make that harmless"
            ) from exc
        return session.token.encode()

    async def _take(self, number: int, line: bytes | None, session: PublishSession) -> None:
        if line is None:
            self._reject(number, f"the line is longer than {line_limit(self._max_body_bytes)} bytes")
            return
        if not line.strip():
            return
        try:
            document = parse_document(line, max_body_bytes=self._max_body_bytes)
        except (InvalidDocument, UndecodableRecord) as exc:
            self._reject(number, str(exc))
            return
        await session.put(document)
        self.accepted += 1
        await self._bound(len(line), session)

    async def _bound(self, size: int, session: PublishSession) -> None:
        self._unacknowledged_bytes += size
        if self._unacknowledged_bytes > MAX_UNACKNOWLEDGED_BYTES:
            await session.flush()
            self._unacknowledged_bytes = 0

    def _reject(self, number: int, detail: str) -> None:
        self.rejected_total += 1
        if len(self.rejected) < MAX_REJECTED:
            self.rejected.append(RejectedLine(number, detail[:_MAX_DETAIL_CHARACTERS]))
