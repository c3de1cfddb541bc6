"""Request bodies, read with bounds: whole ones, JSON into typed requests, and lines as they arrive."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar

import msgspec

from api.errors import InvalidRequest, RequestTooLarge

T = TypeVar("T")

LONE_SURROGATE: Final = "contains a lone surrogate, which is not valid Unicode text"

_UNKNOWN_FIELD: Final = re.compile(r"unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING_FIELD: Final = re.compile(r"missing required field `(?P<name>.*)`", re.DOTALL)
_PATH: Final = re.compile(r" - at (?:key in )?`\$\.?(?P<path>.*)`$", re.DOTALL)


async def read_body(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """Read a whole body.

    Args:
        chunks: as they arrive.
        limit: bytes.

    Raises:
        RequestTooLarge: it is larger than that.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise RequestTooLarge(f"the body must be at most {limit} bytes")
    return bytes(body)


def decode_json(body: bytes, request_type: type[T]) -> T:
    """Read a request from JSON, strictly: no unknown fields, no numbers written as text.

    Raises:
        InvalidRequest: naming the field to blame where there is one.
    """
    try:
        return msgspec.json.decode(body, type=request_type)
    except msgspec.ValidationError as exc:
        raise invalid_request(exc) from exc
    except msgspec.DecodeError as exc:
        if field := lone_surrogate_field(body):
            raise InvalidRequest(field, LONE_SURROGATE) from exc
        raise InvalidRequest("", f"the body is not valid JSON: {_lower(str(exc))}") from exc


def invalid_request(error: msgspec.ValidationError, *, prefix: str = "") -> InvalidRequest:
    """Turn msgspec's "Expected `int`, got `str` - at `$.limit`" into the field and the rest.

    Args:
        error: as msgspec raised it.
        prefix: path of the value that was read within the whole request.
    """
    message = str(error)
    path = _PATH.search(message)
    outer = prefix + (path["path"] if path else "")
    detail = message[: path.start()] if path else message
    if unknown := _UNKNOWN_FIELD.search(detail):
        return InvalidRequest(_join(outer, unknown["name"]), "there is no such field")
    if missing := _MISSING_FIELD.search(detail):
        return InvalidRequest(_join(outer, missing["name"]), "is required")
    return InvalidRequest(outer, _lower(detail))


def lone_surrogate_field(body: bytes) -> str:
    """Name the field of a JSON text that holds half of a surrogate pair; empty when that is not what is wrong.

    msgspec refuses such text without saying where it is; the slower decoder of the standard library takes it.
    """
    try:
        return _find_surrogate(json.loads(body), "") or ""
    except (ValueError, RecursionError):
        return ""


class LineReader:
    """Splits a stream into lines and never holds more than one line and one chunk.

    Args:
        chunks: as they arrive.
        limit: bytes of a line; a longer one is skipped as it arrives, and given as None.
    """

    def __init__(self, chunks: AsyncIterator[bytes], limit: int) -> None:
        self._chunks = chunks
        self._limit = limit
        self._line = bytearray()
        self._overlong = False

    async def __aiter__(self) -> AsyncIterator[bytes | None]:
        """The lines without their newlines; the last one needs none."""
        async for chunk in self._chunks:
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                self._extend(chunk[start:end])
                yield self._take()
                start = end + 1
            self._extend(chunk[start:])
        if self._line or self._overlong:
            yield self._take()

    def _extend(self, part: bytes) -> None:
        if self._overlong or len(self._line) + len(part) > self._limit:
            self._overlong = True
            self._line.clear()
        else:
            self._line += part

    def _take(self) -> bytes | None:
        line = None if self._overlong else bytes(self._line)
        self._line.clear()
        self._overlong = False
        return line


def _find_surrogate(value: Any, path: str) -> str | None:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return path if _has_surrogate(value) else None
    if isinstance(value, dict):
        if any(_has_surrogate(key) for key in value):
            return path
        children = [(_join(path, key), child) for key, child in value.items()]
    else:
        children = [(path, child) for child in value] if isinstance(value, list) else []
    return next((found for name, child in children if (found := _find_surrogate(child, name)) is not None), None)


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _join(outer: str, name: str) -> str:
    return f"{outer}.{name}" if outer else name


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
