"""What a request may say, field by field: `POST /search`, the query string of `GET /search`, `PUT /documents/{id}`."""

from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from api.errors import InvalidRequest
from api.fusion import DEFAULT_K, FusionKind
from api.messages.body import invalid_request
from api.messages.filters import Filters
from indexer.filtering import METADATA
from streams.document import MAX_METADATA_KEY_CHARACTERS, Document, DocumentId
from streams.watermark import MAX_TOKEN_CHARACTERS

T = TypeVar("T")

MAX_QUERY_CHARACTERS: Final = 4_096
MAX_LIMIT: Final = 1_000
MAX_END: Final = 10_000
MAX_TIMEOUT_MS: Final = 60_000
MAX_K: Final = 1_000
MAX_WEIGHT: Final = 1_000
MAX_METHODS: Final = 16
MAX_FACETS: Final = 8
MAX_FACET_VALUES: Final = 100
MAX_FACET_CHARACTERS: Final = len(METADATA) + MAX_METADATA_KEY_CHARACTERS
_MAX_PARAMETERS: Final = 32
_NOT_BLANK: Final = {"minLength": 1, "pattern": r"^[^\x00]*\S[^\x00]*$"}
"""For whoever reads the schema; `api.searching.plan` checks it."""

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="How many results to return")]
Offset = Annotated[int, Meta(ge=0, le=MAX_END, description=f"Results to pass over; with limit at most {MAX_END}")]
Methods = Annotated[
    list[str], Meta(min_length=1, max_length=MAX_METHODS, description="Search methods; all when left out")
]
TimeoutMs = Annotated[int, Meta(ge=1, le=MAX_TIMEOUT_MS, description="Milliseconds in which to answer")]
WaitFor = Annotated[
    str, Meta(max_length=MAX_TOKEN_CHARACTERS, description="Token of a publication that the answer must include")
]
Facets = Annotated[
    list[Annotated[str, Meta(max_length=MAX_FACET_CHARACTERS)]],
    Meta(
        max_length=MAX_FACETS,
        description="Fields whose values to count: source, tags, language or metadata.NAME",
    ),
]
FacetLimit = Annotated[int, Meta(ge=1, le=MAX_FACET_VALUES, description="How many values of each facet to return")]
Weight = Annotated[float, Meta(ge=0, le=MAX_WEIGHT)]


class Fusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to fuse the methods' rankings.

    Attributes:
        kind: reciprocal rank fusion, or a weighted sum of scores scaled to 0..1.
        k: of `rrf`; the larger, the less the first ranks stand out.
        weights: by method; a method that is left out keeps its default.
    """

    kind: FusionKind = "rrf"
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = DEFAULT_K
    weights: dict[str, Weight] = msgspec.field(default_factory=dict)


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /search`."""

    query: Annotated[
        str,
        Meta(
            max_length=MAX_QUERY_CHARACTERS,
            description="In the syntax of the methods asked; not blank",
            extra_json_schema=_NOT_BLANK,
        ),
    ]
    limit: Limit = 10
    offset: Offset = 0
    methods: Methods | None = None
    filters: Filters = msgspec.field(default_factory=dict)
    fusion: Fusion = Fusion()
    facets: Facets = msgspec.field(default_factory=list)
    facet_limit: FacetLimit = 10
    highlight: Annotated[bool, Meta(description="Mark what matched in the snippets")] = True
    explain: Annotated[bool, Meta(description="Say of each hit how its score comes about")] = False
    timeout_ms: TimeoutMs | None = None
    wait_for: WaitFor | None = None


class SearchParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query string of `GET /search`; lists are separated by commas.

    Attributes:
        q: what to search for, in the syntax of the methods asked; without it, the newest documents.
        methods: search methods; all when left out.
        source: collections, any of which a document must be from.
        tags: any of which a document must have.
        language: any of which a document must be in; `en` stands for `en-US` too.
        published_gte: when a document must have been published: at this time or later.
        published_gt: later than this.
        published_lte: at this time or earlier.
        published_lt: earlier than this.
        metadata: what a document must have, each under `metadata.` and its name.
        fusion: how to fuse the rankings of the methods.
        k: of `rrf`; the larger, the less the first ranks stand out.
        weights: by method, such as `semantic:2,bm25:1`; a method that is left out keeps its default.
        highlight: mark what matched in the snippets.
        facets: fields whose values to count.
        explain: say of each hit how its score comes about.
    """

    q: Annotated[str, Meta(max_length=MAX_QUERY_CHARACTERS, extra_json_schema=_NOT_BLANK)] | None = None
    limit: Limit = 10
    offset: Offset = 0
    methods: str | None = None
    source: str | None = None
    tags: str | None = None
    language: str | None = None
    published_gte: str | None = msgspec.field(default=None, name="published_at.gte")
    published_gt: str | None = msgspec.field(default=None, name="published_at.gt")
    published_lte: str | None = msgspec.field(default=None, name="published_at.lte")
    published_lt: str | None = msgspec.field(default=None, name="published_at.lt")
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    fusion: FusionKind = "rrf"
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = DEFAULT_K
    weights: str = ""
    facets: str = ""
    facet_limit: FacetLimit = 10
    highlight: bool = True
    explain: bool = False
    timeout_ms: TimeoutMs | None = None
    wait_for: WaitFor | None = None


class DocumentVersion(Document, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The body of `PUT /documents/{id}`, for whoever reads the schema: a document whose id the address says.

    Attributes:
        id: may be left out, and is the address's otherwise.
    """

    id: DocumentId = DocumentId("")


def parse_parameters(query_string: bytes) -> SearchParameters:
    """Read a query string.

    Raises:
        InvalidRequest: naming the parameter to blame where there is one.
    """
    fields: dict[str, Any] = dict(parse_query_string(query_string))
    metadata = {name: fields.pop(name) for name in list(fields) if name.startswith(METADATA)}
    try:
        if metadata:
            fields["metadata"] = metadata
        return msgspec.convert(fields, SearchParameters, strict=False)
    except msgspec.ValidationError as exc:
        raise invalid_request(exc) from exc


def read_query(query_string: bytes, query_type: type[T]) -> T:
    """Read a query string whose parameters are the fields of a type.

    Raises:
        InvalidRequest: naming the parameter to blame where there is one.
    """
    try:
        return msgspec.convert(parse_query_string(query_string), query_type, strict=False)
    except msgspec.ValidationError as exc:
        raise invalid_request(exc) from exc


def parse_query_string(query_string: bytes) -> dict[str, str]:
    """Split a query string into its parameters, each of which may be given once.

    Raises:
        InvalidRequest: it is not UTF-8, or a parameter is given twice.
    """
    try:
        pairs = parse_qsl(
            query_string.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except UnicodeDecodeError as exc:
        raise InvalidRequest("", "the query string is not UTF-8") from exc
    except ValueError as exc:
        raise InvalidRequest("", f"a query string may have at most {_MAX_PARAMETERS} parameters") from exc
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise InvalidRequest(name, "is given more than once")
        fields[name] = value
    return fields
