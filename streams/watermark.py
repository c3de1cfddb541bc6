"""How far an index has read, and the token with which a client asks for at least that much.

A watermark is only meaningful for the topic it was read from, so it carries that topic's name and the id of the
Kafka cluster. Offsets have gaps (compaction, transactions): a watermark is a position, never a count.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from streams.errors import InvalidToken

MAX_TOKEN_CHARACTERS = 16_384

Natural = Annotated[int, msgspec.Meta(ge=0)]


class Watermark(msgspec.Struct, frozen=True):
    """The next offset to read in each partition; every record before it is in the index.

    Attributes:
        topic: the topic's name.
        cluster: the Kafka cluster's id; empty while nothing was read.
        offsets: next offset by partition; a partition that is missing was never read.
        timestamp_ms: timestamp of the newest record indexed, milliseconds since the epoch; 0 while there is none.
        topic_id: Kafka's id of the topic, which one that is made again under the same name does not have; empty in an
            index that was written before it was recorded.
        partitions: how many the topic had; 0 in such an index.
        current_ms: a time by which every record had been read that was published before, milliseconds since the epoch;
            0 while none is known.
    """

    topic: str = "documents"
    cluster: str = ""
    offsets: dict[int, int] = msgspec.field(default_factory=dict)
    timestamp_ms: int = 0
    topic_id: str = ""
    partitions: int = 0
    current_ms: int = 0

    def advanced(self, offsets: Mapping[int, int], *, timestamp_ms: int = 0) -> "Watermark":
        """This watermark moved forward; a partition never moves back."""
        merged = dict(self.offsets)
        for partition, offset in offsets.items():
            merged[partition] = max(offset, merged.get(partition, 0))
        return msgspec.structs.replace(self, offsets=merged, timestamp_ms=max(self.timestamp_ms, timestamp_ms))

    def read_until(self, current_ms: int) -> "Watermark":
        """This watermark, of an index that had read everything at a time."""
        return msgspec.structs.replace(self, current_ms=max(self.current_ms, current_ms))

    def restricted(self, partitions: Iterable[int]) -> "Watermark":
        """This watermark for some partitions only."""
        wanted = set(partitions)
        return msgspec.structs.replace(self, offsets={p: o for p, o in self.offsets.items() if p in wanted})

    def reached(self, token: "Token") -> bool:
        """Whether everything the token stands for is in the index."""
        return token.topic == self.topic and all(
            self.offsets.get(partition, 0) >= offset for partition, offset in token.offsets.items()
        )

    def covers(self, other: "Watermark") -> bool:
        """Whether an index with this watermark has read all that one with the other has, of the same topic."""
        of_one_topic = (self.topic, self.cluster, self.topic_id) == (other.topic, other.cluster, other.topic_id)
        return of_one_topic and all(self.offsets.get(p, 0) >= offset for p, offset in other.offsets.items())

    def public(self) -> dict[str, dict[str, int]]:
        """The form that API answers carry: `{"documents": {"0": 1234}}`."""
        return {self.topic: {str(partition): offset for partition, offset in sorted(self.offsets.items())}}


class Token(msgspec.Struct, frozen=True):
    """A point in the stream that a client may wait for: next offsets just behind what it published."""

    topic: str = "documents"
    offsets: dict[Natural, Natural] = msgspec.field(default_factory=dict)

    def including(self, partition: int, offset: int) -> "Token":
        """This token, also covering the record at `offset`."""
        covered = max(self.offsets.get(partition, 0), offset + 1)
        return Token(self.topic, self.offsets | {partition: covered})

    def encode(self) -> str:
        """The opaque text that clients carry around."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Token":
        """Read what `encode` wrote.

        Raises:
            InvalidToken: it is something else.
        """
        if len(text) > MAX_TOKEN_CHARACTERS:
            raise InvalidToken(f"token must be at most {MAX_TOKEN_CHARACTERS} characters, got {len(text)}")
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=cls)
        except (ValueError, RecursionError) as exc:
            raise InvalidToken("token was not issued by this system") from exc
