"""From what a search asks for to what is done: the rules that no single field shows, and what is not asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from api.errors import InvalidRequest
from api.fusion import DEFAULT_WEIGHTS, FusionRule
from api.messages.body import invalid_request
from api.messages.filters import FilterValue, check_facets, comma_separated, from_texts, to_filter
from api.messages.parameters import MAX_END, MAX_FACETS, Fusion, SearchParameters, SearchRequest, Weight
from indexer.filtering import Filter
from streams.settings import METHODS
from streams.watermark import Token


class SearchPlan(msgspec.Struct, frozen=True):
    """A request that was held against every rule.

    Attributes:
        query: the text; None asks for the newest documents.
        methods: to ask, in the order in which answers list them.
        only: the documents that may be found.
        token: to wait for.
        explain: say of each hit how its score comes about.
        facets: fields whose values to count.
        facet_limit: how many values of each.
        hurried: the client gives less time than the server would.
    """

    query: str | None
    limit: int
    offset: int
    methods: tuple[str, ...]
    only: Filter
    rule: FusionRule
    highlight: bool
    timeout_ms: int
    token: Token | None
    explain: bool = False
    facets: tuple[str, ...] = ()
    facet_limit: int = 10
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
        only = to_filter(request.filters, path="filters.")
        facets = check_facets(request.facets, most=MAX_FACETS)
        plan = self._plan(request, query=request.query, methods=request.methods, only=only, fusion=request.fusion)
        return msgspec.structs.replace(plan, facets=facets)

    def plan_parameters(self, parameters: SearchParameters) -> SearchPlan:
        """Plan what a query string asks for; without `q`, the newest documents.

        Raises:
            InvalidRequest: naming the parameter that breaks a rule.
            InvalidToken: `wait_for` is not a token of ours.
        """
        if parameters.q is not None:
            check_query(parameters.q, field="q")
        methods = None if parameters.methods is None else comma_separated(parameters.methods)
        fusion = Fusion(parameters.fusion, parameters.k, _parse_weights(parameters.weights))
        only = to_filter(_filters(parameters))
        facets = check_facets(comma_separated(parameters.facets), most=MAX_FACETS)
        plan = self._plan(parameters, query=parameters.q, methods=methods, only=only, fusion=fusion)
        return msgspec.structs.replace(plan, facets=facets)

    def _plan(
        self,
        request: SearchRequest | SearchParameters,
        *,
        query: str | None,
        methods: Sequence[str] | None,
        only: Filter,
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
            only=only,
            rule=_rule(fusion, chosen),
            highlight=request.highlight,
            timeout_ms=request.timeout_ms or self.timeout_ms,
            token=None if request.wait_for is None else self._token(request.wait_for),
            explain=request.explain,
            facet_limit=request.facet_limit,
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
    for part in comma_separated(text):
        name, colon, weight = part.partition(":")
        if not colon:
            raise InvalidRequest("weights", "must read like semantic:1.5,bm25:1")
        weights[name.strip()] = weight.strip()
    try:
        return msgspec.convert(weights, dict[str, Weight], strict=False)
    except msgspec.ValidationError as exc:
        raise InvalidRequest("weights", invalid_request(exc).detail) from exc


def _filters(parameters: SearchParameters) -> dict[str, FilterValue]:
    texts = {
        "source": parameters.source,
        "tags": parameters.tags,
        "language": parameters.language,
        "published_at.gte": parameters.published_gte,
        "published_at.gt": parameters.published_gt,
        "published_at.lte": parameters.published_lte,
        "published_at.lt": parameters.published_lt,
        **parameters.metadata,
    }
    return from_texts({name: text for name, text in texts.items() if text is not None})
