"""Every error a client can see, as RFC 9457 problem details, and the one map from error to HTTP status.

Nothing below the routes knows status codes: it raises errors named by what to do about them. What was not raised on
purpose becomes an `internal` problem that says nothing about our insides; the log has it, under the same trace id.
"""

import math
from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec
import structlog
from litestar.exceptions import HTTPException

from api.errors import (
    Conflict,
    DocumentNotFound,
    Forbidden,
    HeadTooLarge,
    IndexUnavailable,
    InvalidRequest,
    NoSuchItem,
    Overloaded,
    RequestTooLarge,
    SearchUnavailable,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
)
from indexer.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    InvalidQuery,
    JobRefused,
    OutOfMemory,
    SwapRefused,
    TooManyOpenFiles,
)
from streams.errors import InvalidDocument, InvalidToken, StreamUnavailable, UndecodableRecord

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2
_CHALLENGE: Final = 'Bearer realm="embed-search"'
"""How to come back with a key (RFC 6750, section 3)."""

_log = structlog.stdlib.get_logger(__name__)


class ProblemKind(Enum):
    """The closed set of problems: the last part of their `type`, the status, the title."""

    INVALID_REQUEST = ("invalid-request", 400, "The request is not valid")
    INVALID_DOCUMENT = ("invalid-document", 400, "The document is not valid")
    INVALID_QUERY = ("invalid-query", 400, "The query cannot be run")
    INVALID_TOKEN = ("invalid-token", 400, "The consistency token is not valid")
    UNAUTHENTICATED = ("unauthenticated", 401, "A key is needed")
    FORBIDDEN = ("forbidden", 403, "The key may not do this")
    DOCUMENT_NOT_FOUND = ("document-not-found", 404, "There is no such document")
    NO_SUCH_ITEM = ("no-such-item", 404, "There is nothing of this name")
    NOT_FOUND = ("not-found", 404, "There is nothing at this address")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "This address does not take this HTTP method")
    CONFLICT = ("conflict", 409, "This cannot be done as things are")
    TOO_LARGE = ("too-large", 413, "The request is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "This content type is not read here")
    HEAD_TOO_LARGE = ("head-too-large", 431, "The address or the headers are too long")
    TOO_MANY_REQUESTS = ("too-many-requests", 429, "Too many requests")
    INTERNAL = ("internal", 500, "The server failed")
    SEARCH_UNAVAILABLE = ("search-unavailable", 503, "No search method can answer")
    INDEX_UNAVAILABLE = ("index-unavailable", 503, "The index does not answer")
    STREAM_UNAVAILABLE = ("stream-unavailable", 503, "Kafka does not take documents")
    OUT_OF_MEMORY = ("out-of-memory", 503, "The server has too little memory left")
    TOO_MANY_OPEN_FILES = ("too-many-open-files", 503, "The server has too few file handles left")
    OVERLOADED = ("overloaded", 503, "The server has too much to do")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title

    @property
    def uri(self) -> str:
        """The problem's `type`."""
        return f"urn:embed-search:problem:{self.slug}"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer with an error.

    Attributes:
        type: identifies the kind of problem, for programs.
        title: the kind of problem, for people.
        status: the HTTP status.
        detail: what is wrong this time, and what to do.
        trace_id: finds this request in traces and logs.
        field: the field or parameter to blame, where one is.
        backends: why search methods or indexes could not answer, by name.
    """

    type: str
    title: str
    status: int
    detail: str
    trace_id: str
    field: str | None = None
    backends: dict[str, str] | None = None


class ProblemReply(msgspec.Struct, frozen=True):
    """A problem and the headers that go with it."""

    problem: Problem
    headers: dict[str, str]

    def body(self) -> bytes:
        """The problem as JSON."""
        return msgspec.json.encode(self.problem)


def problem_reply(error: BaseException, trace_id: str) -> ProblemReply:
    """Say what went wrong, as a client may know it.

    Args:
        error: raised on purpose anywhere, by the framework, or by accident.
        trace_id: of the request.
    """
    kind = _kind(error)
    if kind is ProblemKind.INTERNAL:
        _log.error("request failed", error=repr(error), exc_info=error)
    problem = Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=_detail(error, kind),
        trace_id=trace_id,
        field=_field(error),
        backends=_backends(error),
    )
    return ProblemReply(problem, _headers(error, kind))


_KINDS: Final[Mapping[type[BaseException], ProblemKind]] = {
    InvalidRequest: ProblemKind.INVALID_REQUEST,
    RecursionError: ProblemKind.INVALID_REQUEST,
    UnicodeError: ProblemKind.INVALID_REQUEST,
    InvalidDocument: ProblemKind.INVALID_DOCUMENT,
    UndecodableRecord: ProblemKind.INVALID_DOCUMENT,
    InvalidQuery: ProblemKind.INVALID_QUERY,
    InvalidToken: ProblemKind.INVALID_TOKEN,
    Unauthenticated: ProblemKind.UNAUTHENTICATED,
    Forbidden: ProblemKind.FORBIDDEN,
    DocumentNotFound: ProblemKind.DOCUMENT_NOT_FOUND,
    HeadTooLarge: ProblemKind.HEAD_TOO_LARGE,
    TooManyRequests: ProblemKind.TOO_MANY_REQUESTS,
    RequestTooLarge: ProblemKind.TOO_LARGE,
    UnsupportedMediaType: ProblemKind.UNSUPPORTED_MEDIA_TYPE,
    SearchUnavailable: ProblemKind.SEARCH_UNAVAILABLE,
    BackendUnavailable: ProblemKind.SEARCH_UNAVAILABLE,
    DeadlineExceeded: ProblemKind.SEARCH_UNAVAILABLE,
    StreamUnavailable: ProblemKind.STREAM_UNAVAILABLE,
    NoSuchItem: ProblemKind.NO_SUCH_ITEM,
    Conflict: ProblemKind.CONFLICT,
    JobRefused: ProblemKind.CONFLICT,
    SwapRefused: ProblemKind.CONFLICT,
    IndexUnavailable: ProblemKind.INDEX_UNAVAILABLE,
    Overloaded: ProblemKind.OVERLOADED,
    OutOfMemory: ProblemKind.OUT_OF_MEMORY,
    TooManyOpenFiles: ProblemKind.TOO_MANY_OPEN_FILES,
}
"""What each error is to a client; what is not here is an accident."""

_FRAMEWORK_KINDS: Final[Mapping[int, ProblemKind]] = {
    400: ProblemKind.INVALID_REQUEST,
    404: ProblemKind.NOT_FOUND,
    405: ProblemKind.METHOD_NOT_ALLOWED,
    413: ProblemKind.TOO_LARGE,
    415: ProblemKind.UNSUPPORTED_MEDIA_TYPE,
    503: ProblemKind.OVERLOADED,
}
"""What the framework's own errors are, by the status it gives them."""


def _kind(error: BaseException) -> ProblemKind:
    if isinstance(error, HTTPException):
        return _FRAMEWORK_KINDS.get(error.status_code, ProblemKind.INTERNAL)
    for ancestor in type(error).__mro__:
        if ancestor in _KINDS:
            return _KINDS[ancestor]
    return ProblemKind.INTERNAL


def _detail(error: BaseException, kind: ProblemKind) -> str:
    if kind is ProblemKind.INTERNAL:
        return "an unexpected error; the log has it under this trace id"
    if kind is ProblemKind.NOT_FOUND:
        return "see /openapi.json for what there is"
    if isinstance(error, RecursionError):
        return "the JSON is nested too deeply"
    if isinstance(error, UnicodeError):
        return "the request is not valid UTF-8"
    if isinstance(error, HTTPException):
        return error.detail or kind.title
    return str(error)


def _field(error: BaseException) -> str | None:
    if isinstance(error, InvalidRequest | InvalidDocument):
        return error.field or None
    return "wait_for" if isinstance(error, InvalidToken) else None


def _backends(error: BaseException) -> dict[str, str] | None:
    if isinstance(error, SearchUnavailable):
        return error.reasons
    if isinstance(error, DocumentNotFound):
        return error.unasked or None
    if isinstance(error, IndexUnavailable):
        return {error.index: error.reason}
    return None


def _headers(error: BaseException, kind: ProblemKind) -> dict[str, str]:
    headers = {"content-type": PROBLEM_MEDIA_TYPE}
    if kind.status == ProblemKind.OVERLOADED.status:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, HTTPException) and error.headers and "allow" in error.headers:
        headers["allow"] = error.headers["allow"]
    if isinstance(error, TooManyRequests):
        headers |= {**error.headers, "retry-after": str(math.ceil(error.seconds))}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = _CHALLENGE + (', error="invalid_token"' if error.presented else "")
    if isinstance(error, Forbidden):
        headers["www-authenticate"] = f'{_CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'
    return headers
