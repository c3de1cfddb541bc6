"""Bytes of the topic to changes, and back.

A producer needs nothing but a key and a JSON value. Whatever cannot be decoded is refused with a stable kind,
which becomes the error class of its dead letter.
"""

from typing import Any

import msgspec

from streams.change import Change, Delete, Position, Upsert
from streams.document import MAX_BODY_BYTES, Document, DocumentId, Scalar, check_document, check_id
from streams.errors import InvalidDocument, UndecodableRecord

MAX_JSON_OVERHEAD = 8
"""JSON text can be this many times larger than the characters it stands for (a control character is `\\u0001`),
fields beside the body included. A value beyond `MAX_JSON_OVERHEAD` body limits is refused unread."""

_DOCUMENT_FIELDS = frozenset(Document.__struct_fields__)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode_document(document: Document) -> bytes:
    """Write a document as the JSON value of its record."""
    return _encoder.encode(document)


def decode_change(
    key: bytes | None, value: bytes | None, position: Position, *, max_body_bytes: int = MAX_BODY_BYTES
) -> Change:
    """Read one record of the `documents` topic.

    Args:
        key: the record's key, the document id in UTF-8.
        value: a JSON document, or None: a tombstone.
        position: where the record was read.
        max_body_bytes: limit of the body in UTF-8 bytes.

    Raises:
        UndecodableRecord: the record breaks the contract and never will not.
    """
    document_id = _decode_key(key)
    if value is None:
        return Delete(document_id, position)
    try:
        document = parse_document(value, default_id=document_id, max_body_bytes=max_body_bytes)
    except InvalidDocument as exc:
        raise UndecodableRecord("invalid-document", str(exc)) from exc
    if document.id != document_id:
        raise UndecodableRecord("key-mismatch", "id: must equal the key of the record")
    return Upsert(document, position)


def parse_document(value: bytes, *, default_id: str | None = None, max_body_bytes: int = MAX_BODY_BYTES) -> Document:
    """Read a document from JSON and hold it against the limits.

    Args:
        value: the JSON text.
        default_id: the id of a document that does not carry one.
        max_body_bytes: limit of the body in UTF-8 bytes.

    Raises:
        UndecodableRecord: the bytes are not a JSON object, or larger than any document can be.
        InvalidDocument: a field is missing, of the wrong type or beyond its limit.
    """
    limit = MAX_JSON_OVERHEAD * max_body_bytes
    if len(value) > limit:
        raise UndecodableRecord("too-large", f"value must be at most {limit} bytes, got {len(value)}")
    document = document_from_fields(_decode_object(value), default_id=default_id)
    check_document(document, max_body_bytes=max_body_bytes)
    return document


def document_from_fields(fields: dict[str, Any], *, default_id: str | None = None) -> Document:
    """Build a document from decoded JSON, keeping unknown fields under `metadata`.

    Raises:
        InvalidDocument: a field is missing or of the wrong type.
    """
    known = {name: value for name, value in fields.items() if name in _DOCUMENT_FIELDS}
    unknown = {name: value for name, value in fields.items() if name not in _DOCUMENT_FIELDS}
    if default_id is not None:
        known.setdefault("id", default_id)
    try:
        if unknown:
            known["metadata"] = _merge_metadata(known.get("metadata", {}), unknown)
        return msgspec.convert(known, Document)
    except msgspec.ValidationError as exc:
        raise _invalid_field(str(exc)) from exc
    except RecursionError as exc:
        raise InvalidDocument("metadata", "is nested too deeply") from exc


def _decode_key(key: bytes | None) -> DocumentId:
    if key is None:
        raise UndecodableRecord("no-key", "the record has no key")
    try:
        text = key.decode()
        check_id(text, field="key")
    except UnicodeDecodeError as exc:
        raise UndecodableRecord("invalid-key", "key: is not UTF-8") from exc
    except InvalidDocument as exc:
        raise UndecodableRecord("invalid-key", str(exc)) from exc
    return DocumentId(text)


def _decode_object(value: bytes) -> dict[str, Any]:
    try:
        decoded = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise UndecodableRecord("not-json", f"value is not JSON: {exc}") from exc
    except RecursionError as exc:
        raise UndecodableRecord("not-json", "value is nested too deeply") from exc
    if not isinstance(decoded, dict):
        raise UndecodableRecord("not-json", "value must be a JSON object")
    return decoded


def _merge_metadata(metadata: object, unknown: dict[str, Any]) -> dict[str, Scalar]:
    if not isinstance(metadata, dict):
        raise InvalidDocument("metadata", "must be an object")
    if clash := sorted(metadata.keys() & unknown.keys()):
        raise InvalidDocument(clash[0], "stands both at the top level and under metadata")
    return metadata | {name: _scalar(value) for name, value in unknown.items()}


def _scalar(value: object) -> Scalar:
    """An unknown field that is not a scalar is kept as its JSON text: metadata holds scalars only."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return _encoder.encode(value).decode()


def _invalid_field(message: str) -> InvalidDocument:
    """Turn msgspec's "Expected `str`, got `int` - at `$.title`" into the field and the rest."""
    detail, _, path = message.partition(" - at `$.")
    if path:
        return InvalidDocument(path.rstrip("`").split("[")[0], detail[:1].lower() + detail[1:])
    if message.startswith("Object missing required field"):
        return InvalidDocument(message.split("`")[1], "is required")
    return InvalidDocument("document", detail[:1].lower() + detail[1:])
