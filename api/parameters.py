"""What a search may ask for, and its limits: the JSON of `POST /search` and the query string of `GET /search`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from api.body import invalid_request
from api.errors import InvalidRequest
from api.fusion import DEFAULT_K, DEFAULT_WEIGHTS, FusionKind, FusionRule
from streams.settings import METHODS
from streams.watermark import MAX_TOKEN_CHARACTERS, Token

MAX_QUERY_CHARACTERS: Final = 4_096
MAX_LIMIT: Final = 1_000
MAX_END: Final = 10_000
MAX_TIMEOUT_MS: Final = 60_000
MAX_K: Final = 1_000
MAX_WEIGHT: Final = 1_000
MAX_METHODS: Final = 16
_MAX_PARAMETERS: Final = 32

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="How many results to return")]
Offset = Annotated[int, Meta(ge=0, le=MAX_END, description=f"Results to pass over; with limit at most {MAX_END}")]
Methods = Annotated[
    list[str], Meta(min_length=1, max_length=MAX_METHODS, description="Search methods; all when left out")
]
TimeoutMs = Annotated[int, Meta(ge=1, le=MAX_TIMEOUT_MS, description="Milliseconds in which to answer")]
WaitFor = Annotated[
    str, Meta(max_length=MAX_TOKEN_CHARACTERS, description="Token of a publication that the answer must include")
]
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

    query: Annotated[str, Meta(max_length=MAX_QUERY_CHARACTERS, description="In the syntax of the methods asked")]
    limit: Limit = 10
    offset: Offset = 0
    methods: Methods | None = None
    fusion: Fusion = Fusion()
    highlight: Annotated[bool, Meta(description="Mark what matched in the snippets")] = True
    timeout_ms: TimeoutMs | None = None
    wait_for: WaitFor | None = None


class SearchParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query string of `GET /search`; lists are separated by commas."""

    q: Annotated[str, Meta(max_length=MAX_QUERY_CHARACTERS)] | None = None
    limit: Limit = 10
    offset: Offset = 0
    methods: str | None = None
    fusion: FusionKind = "rrf"
    k: Annotated[int, Meta(ge=1, le=MAX_K)] = DEFAULT_K
    weights: str = ""
    highlight: bool = True
    timeout_ms: TimeoutMs | None = None
    wait_for: WaitFor | None = None


class SearchPlan(msgspec.Struct, frozen=True):
    """A request that was held against every rule.

    Attributes:
        query: the text; None asks for the newest documents.
        methods: to ask, in the order in which answers list them.
        token: to wait for.
        hurried: the client gives less time than the server would.
    """

    query: str | None
    limit: int
    offset: int
    methods: tuple[str, ...]
    rule: FusionRule
    highlight: bool
    timeout_ms: int
    token: Token | None
    hurried: bool = False


class SearchRules(msgspec.Struct, frozen=True):
    """What this system runs.

    Attributes:
        methods: the search methods.
        topic: the topic whose tokens are ours.
        timeout_ms: the deadline of a search that names none.
    """

    methods: tuple[str, ...]
    topic: str
    timeout_ms: int

    def plan(self, request: SearchRequest) -> SearchPlan:
        """Plan what a JSON request asks for.

        Raises:
            InvalidRequest: naming the field that breaks a rule.
            InvalidToken: `wait_for` is not a token of ours.
        """
        check_query(request.query, field="query")
        return self._plan(request, query=request.query, methods=request.methods, fusion=request.fusion)

    def plan_parameters(self, parameters: SearchParameters) -> SearchPlan:
        """Plan what a query string asks for; without `q`, the newest documents.

        Raises:
            InvalidRequest: naming the parameter that breaks a rule.
            InvalidToken: `wait_for` is not a token of ours.
        """
        if parameters.q is not None:
            check_query(parameters.q, field="q")
        methods = None if parameters.methods is None else _names(parameters.methods)
        fusion = Fusion(parameters.fusion, parameters.k, _parse_weights(parameters.weights))
        return self._plan(parameters, query=parameters.q, methods=methods, fusion=fusion)

    def _plan(
        self,
        request: SearchRequest | SearchParameters,
        *,
        query: str | None,
        methods: Sequence[str] | None,
        fusion: Fusion,
    ) -> SearchPlan:
        if request.offset + request.limit > MAX_END:
            total = request.offset + request.limit
            raise InvalidRequest("offset", f"offset and limit together must be at most {MAX_END}, got {total}")
        chosen = self._choose(methods)
        return SearchPlan(
            query=query,
            limit=request.limit,
            offset=request.offset,
            methods=chosen,
            rule=_rule(fusion, chosen),
            highlight=request.highlight,
            timeout_ms=request.timeout_ms or self.timeout_ms,
            token=None if request.wait_for is None else self._token(request.wait_for),
            hurried=request.timeout_ms is not None and request.timeout_ms < self.timeout_ms,
        )

    def _choose(self, methods: Sequence[str] | None) -> tuple[str, ...]:
        if methods is None:
            return self.methods
        if not methods:
            raise InvalidRequest("methods", "must name at least one method")
        for name in methods:
            if name not in self.methods:
                raise InvalidRequest("methods", f"{name[:64]!r} is not run here; there are {', '.join(self.methods)}")
        return tuple(name for name in self.methods if name in methods)

    def _token(self, text: str) -> Token:
        token = Token.decode(text)
        if token.topic != self.topic:
            raise InvalidRequest("wait_for", f"the token is for another topic than {self.topic}")
        return token


def parse_parameters(query_string: bytes) -> SearchParameters:
    """Read a query string.

    Raises:
        InvalidRequest: naming the parameter to blame where there is one.
    """
    fields = parse_query_string(query_string)
    try:
        return msgspec.convert(fields, SearchParameters, strict=False)
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


def check_query(text: str, *, field: str) -> None:
    """Hold the text of a query against the rules that no method can do without.

    Raises:
        InvalidRequest: naming `field`.
    """
    if not text.strip():
        raise InvalidRequest(field, "must not be blank")
    if "\0" in text:
        raise InvalidRequest(field, "must not contain NUL characters")


def _rule(fusion: Fusion, methods: tuple[str, ...]) -> FusionRule:
    for name in fusion.weights:
        if name not in METHODS:
            raise InvalidRequest("fusion.weights", f"{name[:64]!r} is not a search method")
    weights: Mapping[str, float] = {**DEFAULT_WEIGHTS, **fusion.weights}
    if not any(weights[name] > 0 for name in methods):
        raise InvalidRequest("fusion.weights", "at least one method that is asked must weigh more than 0")
    return FusionRule(fusion.kind, fusion.k, weights)


def _parse_weights(text: str) -> dict[str, float]:
    """Read `semantic:1.5,bm25:1`."""
    weights: dict[str, Any] = {}
    for part in _names(text):
        name, colon, weight = part.partition(":")
        if not colon:
            raise InvalidRequest("weights", "must read like semantic:1.5,bm25:1")
        weights[name.strip()] = weight.strip()
    try:
        return msgspec.convert(weights, dict[str, Weight], strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidRequest("weights", invalid_request(exc).detail) from exc


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
