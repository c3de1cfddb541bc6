import asyncio
import io

import pytest

from indexer.embedder.protocol import (
    MAX_FRAME_BYTES,
    CountTokens,
    Embed,
    Refused,
    Vectors,
    encode_frame,
    read_frame,
    request_decoder,
    response_decoder,
)
from indexer.embedding.life import receive_frame


async def received(data: bytes) -> bytes:
    """What an asyncio reader makes of these bytes."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await receive_frame(reader)


async def test_a_request_arrives_as_it_was_sent() -> None:
    """Both readers give back the message, and leave the next one in the stream."""
    request = Embed(["one", "日本語", "\0"], shorten=True)
    stream = io.BytesIO(encode_frame(request) + encode_frame(CountTokens([])))
    assert request_decoder.decode(read_frame(stream) or b"") == request
    assert request_decoder.decode(read_frame(stream) or b"") == CountTokens([])
    assert request_decoder.decode(await received(encode_frame(request))) == request


async def test_a_response_arrives_as_it_was_sent() -> None:
    """Vectors are bytes, and a refusal keeps its reason."""
    for response in (Vectors(b"\0\1", shortened=True), Refused("why", too_long=True)):
        assert response_decoder.decode(await received(encode_frame(response))) == response


@pytest.mark.parametrize("data", [b"", b"\0\0", b"\0\0\0\5abc", b"\xff\xff\xff\xffabc"])
async def test_a_broken_frame_is_the_end(data: bytes) -> None:
    """A frame cut short, or of an impossible length, reads as the other side being gone."""
    assert read_frame(io.BytesIO(data)) is None
    with pytest.raises(EOFError):
        await received(data)


def test_a_frame_has_a_largest_size() -> None:
    """Nobody can be made to allocate without bound."""
    with pytest.raises(ValueError, match="at most"):
        encode_frame(Vectors(bytes(MAX_FRAME_BYTES)))
