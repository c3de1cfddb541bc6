"""The OpenAPI document: it tells all of the API, and nothing that is not there."""

import re
from typing import Any

import msgspec
import pytest

from api.app import ROUTES, build_routes
from api.description.examples import problem_example
from api.description.operation import Body
from api.description.operations import OPERATIONS
from api.messages.problems import PROBLEM_MEDIA_TYPE, ProblemKind
from tests.api.application import Json, make_services, running
from tests.api.fakes import FakeBackend


async def _documents() -> tuple[Json, Json, str, str]:
    async with running(make_services({"bm25": FakeBackend()})) as client:
        page = await client.get("/docs")
        openapi = (await client.get("/openapi.json")).json()
        asyncapi = (await client.get("/asyncapi.json")).json()
    return openapi, asyncapi, page.text, page.headers["content-security-policy"]


async def test_every_route_is_described_and_nothing_else() -> None:
    """A route without a description, or a description without a route, is a mistake."""
    app = build_routes(lambda: pytest.fail("not started"))
    routed = {
        (method.lower(), re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path).replace("document_id", "id"))
        for route in app.routes
        for method in getattr(route, "methods", ())
        if method not in {"OPTIONS", "HEAD"}
    }
    assert len(ROUTES) == len(OPERATIONS)
    assert routed == {(operation.method, operation.path) for operation in OPERATIONS}


async def test_every_operation_has_examples_and_problems() -> None:
    """A reader sees what goes in, what comes out, and every error."""
    openapi, *_ = await _documents()
    assert openapi["openapi"] == "3.1.0"
    for path in openapi["paths"].values():
        for operation in path.values():
            contents = [c for answer in operation["responses"].values() for c in answer["content"].values()]
            contents += operation.get("requestBody", {}).get("content", {}).values()
            assert all("example" in content or content["examples"] for content in contents)
            assert PROBLEM_MEDIA_TYPE in operation["responses"]["500"]["content"]


async def test_a_document_needs_an_id_where_no_address_has_one() -> None:
    """It may be left out of a version that is put under an address, and of no document that is posted."""
    openapi, *_ = await _documents()
    for path, method, required in (("/documents", "post", ["id", "body"]), ("/documents/{id}", "put", ["body"])):
        content = openapi["paths"][path][method]["requestBody"]["content"]["application/json"]
        name = content["schema"]["$ref"].rpartition("/")[2]
        assert openapi["components"]["schemas"][name]["required"] == required


async def test_fields_say_what_they_are() -> None:
    """What docstrings say of attributes is in the document, whatever Python does with their indentation."""
    openapi, *_ = await _documents()
    fields = openapi["components"]["schemas"]["SearchResult"]["properties"]
    assert fields["score"]["description"]
    (tags,) = [each for each in openapi["paths"]["/search"]["get"]["parameters"] if each["name"] == "tags"]
    assert tags["description"] == "any of which a document must have."


async def test_all_references_lead_somewhere() -> None:
    """A schema that is named is there."""
    openapi, *_ = await _documents()
    references = set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', msgspec.json.encode(openapi).decode()))
    assert references == set(openapi["components"]["schemas"])


@pytest.mark.parametrize(
    "body",
    [body for operation in OPERATIONS for body in (*operation.requests, *operation.answers.values()) if body.type],
)
async def test_examples_are_of_the_type_they_show(body: Body) -> None:
    """An example that the API would not take, or give, misleads."""
    assert msgspec.convert(msgspec.to_builtins(body.example), body.type) == body.example


def test_every_kind_of_problem_has_its_own_type_and_example() -> None:
    """The problems are a closed set that can be told apart."""
    assert len({kind.uri for kind in ProblemKind}) == len(ProblemKind)
    assert all(problem_example(kind).status == kind.status for kind in ProblemKind)


async def test_the_page_needs_nothing_from_elsewhere() -> None:
    """It works offline, and its policy allows no other script than its own."""
    *_, page, policy = await _documents()
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/=]+'", policy)


async def test_the_event_stream_is_described_too() -> None:
    """Producers find the topic and its schema."""
    _, asyncapi, *_ = await _documents()
    addresses: set[Any] = {channel["address"] for channel in asyncapi["channels"].values()}
    assert "documents" in addresses
