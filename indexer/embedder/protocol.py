"""What the embedder's process and its parent say to each other: msgpack frames, each with its length in front."""

import struct
from typing import BinaryIO, Final

import msgspec

MAX_FRAME_BYTES: Final = 64 * 1024 * 1024

MAX_QUERY_TOKENS: Final = 128
"""As many as a passage has, which is what a query is compared with. Four times as many take five times as long, 0.35 s
of a processor, for which all other queries wait."""

LENGTH: Final = struct.Struct(">I")
"""Of a frame, in front of it."""


class CountTokens(msgspec.Struct, frozen=True, tag=True):
    """How many tokens has each text, on its own, without the marks at its ends?"""

    texts: list[str]


class Embed(msgspec.Struct, frozen=True, tag=True):
    """Embed these texts.

    Attributes:
        texts: as the model reads them, prefixes included.
        shorten: cut them to `MAX_QUERY_TOKENS`, and say so, instead of refusing what is too long for the model.
    """

    texts: list[str]
    shorten: bool = False


class ModelDescription(msgspec.Struct, frozen=True, tag=True):
    """What the model is; the first frame from the process, unasked.

    Attributes:
        name: as its file says.
        architecture: as its file says.
        dimensions: of a vector.
        context_tokens: how many tokens it reads at once here, the marks at the ends included.
        query_prefix: goes before a query.
        document_prefix: goes before a passage.
        sha256: of its file, in hexadecimal; added by the parent.
    """

    name: str
    architecture: str
    dimensions: int
    context_tokens: int
    query_prefix: str = ""
    document_prefix: str = ""
    sha256: str = ""


class TokenCounts(msgspec.Struct, frozen=True, tag=True):
    """The answer to `CountTokens`, in its order."""

    counts: list[int]


class Vectors(msgspec.Struct, frozen=True, tag=True):
    """The answer to `Embed`, in its order.

    Attributes:
        data: float32, little-endian, row after row, each of unit length unless the model failed on it.
        shortened: whether a text was cut.
    """

    data: bytes
    shortened: bool = False


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The request cannot be done, and never will.

    Attributes:
        detail: the reason.
        too_long: whether the reason is a text's length.
    """

    detail: str
    too_long: bool = False


Request = CountTokens | Embed
Response = ModelDescription | TokenCounts | Vectors | Refused

_encoder = msgspec.msgpack.Encoder()
request_decoder: Final = msgspec.msgpack.Decoder(Request)
response_decoder: Final = msgspec.msgpack.Decoder(Response)


def encode_frame(message: Request | Response) -> bytes:
    """A message with its length in front."""
    data = _encoder.encode(message)
    if len(data) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame must be at most {MAX_FRAME_BYTES} bytes, got {len(data)}")
    return LENGTH.pack(len(data)) + data


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame, or None when the other side is gone."""
    header = stream.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(header)
    data = stream.read(length) if length <= MAX_FRAME_BYTES else b""
    return data if len(data) == length else None
