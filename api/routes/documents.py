"""`/documents`: documents go to Kafka, never straight to an index; what comes back is what the indexes hold."""

from typing import Final
from urllib.parse import unquote_to_bytes

from litestar import delete, get, post, put

from api.access.admission import PUBLICATION_PATIENCE_SECONDS, QUEUE_SHARE
from api.errors import InvalidRequest
from api.messages.body import LONE_SURROGATE, LineReader, lone_surrogate_field, read_body
from api.messages.responses import DocumentResponse, PublishResponse
from api.publishing.ingest import Ingest, line_limit
from api.routes.requests import (
    JSON_TYPES,
    AnyRequest,
    ServicesDependency,
    body_chunks,
    client,
    require_media_type,
    trace_id,
)
from api.searching.lookup import look_up
from api.services import Services
from indexer.deadline import Deadline
from streams.codec import parse_document
from streams.document import Document, DocumentId, check_id
from streams.errors import InvalidDocument, UndecodableRecord

NDJSON_TYPES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

_PREFIX: Final = b"/documents/"


@post("/documents", status_code=202)
async def publish(request: AnyRequest, services: ServicesDependency) -> PublishResponse:
    """Publish one document, or a stream of them."""
    media_type = require_media_type(request, JSON_TYPES | NDJSON_TYPES)
    async with services.admission.publications.turn(client(request), PUBLICATION_PATIENCE_SECONDS):
        if media_type in NDJSON_TYPES:
            return await _publish_lines(request, services)
        document = await _read_document(request, services, default_id=None)
        return _published(request, await services.publications.put(document))


@put("/documents/{document_id:path}", status_code=202)
async def put_document(request: AnyRequest, services: ServicesDependency) -> PublishResponse:
    """Publish a version of the document with this id."""
    document_id = _document_id(request)
    require_media_type(request, JSON_TYPES)
    async with services.admission.publications.turn(client(request), PUBLICATION_PATIENCE_SECONDS):
        document = await _read_document(request, services, default_id=document_id)
        if document.id != document_id:
            raise InvalidRequest("id", "must equal the id in the address, or be left out")
        return _published(request, await services.publications.put(document))


@delete("/documents/{document_id:path}", status_code=202)
async def delete_document(request: AnyRequest, services: ServicesDependency) -> PublishResponse:
    """Publish a tombstone for this id."""
    document_id = _document_id(request)
    async with services.admission.publications.turn(client(request), PUBLICATION_PATIENCE_SECONDS):
        return _published(request, await services.publications.delete(document_id))


@get("/documents/{document_id:path}")
async def get_document(request: AnyRequest, services: ServicesDependency) -> DocumentResponse:
    """The stored document, and where it is indexed."""
    deadline = Deadline.after(services.settings.timeout_ms / 1000)
    document_id = _document_id(request)
    async with services.admission.searches.turn(client(request), QUEUE_SHARE * deadline.remaining()):
        found = await look_up(document_id, services.backends, deadline)
    return DocumentResponse(found.document, found.indexes, trace_id(request))


async def _publish_lines(request: AnyRequest, services: Services) -> PublishResponse:
    limit = services.settings.max_body_bytes
    ingest = Ingest(services.publications.publisher, limit)
    token = await ingest.run(LineReader(body_chunks(request), line_limit(limit)))
    return PublishResponse(ingest.accepted, ingest.rejected, ingest.rejected_total, token, trace_id(request))


async def _read_document(request: AnyRequest, services: Services, *, default_id: str | None) -> Document:
    limit = services.settings.max_body_bytes
    body = await read_body(body_chunks(request), line_limit(limit))
    try:
        return parse_document(body, default_id=default_id, max_body_bytes=limit)
    except UndecodableRecord as exc:
        if field := lone_surrogate_field(body):
            raise InvalidDocument(field, LONE_SURROGATE) from exc
        raise


def _published(request: AnyRequest, token: str) -> PublishResponse:
    return PublishResponse(1, [], 0, token, trace_id(request))


def _document_id(request: AnyRequest) -> DocumentId:
    """The id as it stands in the address; the router would drop slashes that belong to it."""
    raw = request.scope["raw_path"].removeprefix(_PREFIX)
    try:
        document_id = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as exc:
        raise InvalidRequest("id", "is not valid UTF-8") from exc
    check_id(document_id)
    return DocumentId(document_id)
