"""What the OpenAPI document tells of one operation."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from api.messages.administration import POSITION
from api.messages.problems import ProblemKind
from streams.document import MAX_ID_BYTES
from streams.settings import METHODS

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
TEXT: Final = "text/plain; version=0.0.4"
HTML: Final = "text/html"
EVENTS: Final = "text/event-stream"


class Body(msgspec.Struct, frozen=True):
    """A body that is sent or answered.

    Attributes:
        type: of its JSON; None for text.
        example: one such value.
        description: of the answer.
        media_type: of the body.
        parts: types of the JSON in a text that is not one JSON value.
    """

    type: Any
    example: Any
    description: str = ""
    media_type: str = JSON
    parts: tuple[Any, ...] = ()


class PathParameter(msgspec.Struct, frozen=True):
    """A name in a path.

    Attributes:
        name: as the path has it, in braces.
        description: for people.
        schema: of its value.
        example: one such value.
    """

    name: str
    description: str
    schema: dict[str, Any]
    example: str


DOCUMENT_ID: Final = PathParameter(
    "id",
    "Percent-encoded UTF-8, slashes may stand as they are",
    {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES},
    "a/b.txt",
)
METHOD: Final = PathParameter(
    "method", "A search method that this system runs", {"type": "string", "enum": list(METHODS)}, "bm25"
)
INDEX: Final = PathParameter(
    "index", "An index that this system runs", {"type": "string", "enum": list(METHODS)}, "bm25"
)
JOB: Final = PathParameter(
    "job", "The id that the order was answered with", {"type": "string", "minLength": 1}, "1767225600000-5f0c2a9e"
)
FILE: Final = PathParameter("name", "As the pages name it", {"type": "string", "minLength": 1}, "dom.js")
LETTER: Final = PathParameter(
    "position", "Where the dead letter lies: partition:offset", {"type": "string", "pattern": POSITION}, "0:41"
)


class Operation(msgspec.Struct, frozen=True):
    """One HTTP method on one path.

    Attributes:
        answers: by status.
        problems: that it can answer, besides an internal one.
        requests: bodies it takes, one for each media type.
        query: type of the query string.
        path_parameters: what the path names.
        is_page: it answers a page, also to whoever lacks the key, with the status that says so.
    """

    method: Literal["get", "post", "put", "delete"]
    path: str
    id: str
    tag: str
    summary: str
    answers: Mapping[int, Body]
    problems: tuple[ProblemKind, ...] = ()
    requests: tuple[Body, ...] = ()
    query: type[msgspec.Struct] | None = None
    path_parameters: tuple[PathParameter, ...] = ()
    is_page: bool = False

    def types(self) -> Iterator[Any]:
        """The types of all its JSON."""
        bodies = (*self.requests, *self.answers.values())
        yield from (body.type for body in bodies if body.type is not None)
        if self.query is not None:
            yield self.query
        yield from (part for body in bodies for part in body.parts)


SHORTAGES: Final = (ProblemKind.OVERLOADED, ProblemKind.OUT_OF_MEMORY, ProblemKind.TOO_MANY_OPEN_FILES)
