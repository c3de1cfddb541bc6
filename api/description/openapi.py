"""The OpenAPI 3.1 document, made from the very types that the routes read and write.

Schemas of OpenAPI 3.1 are JSON Schema 2020-12, which msgspec writes itself; what their docstrings say about
attributes becomes the properties' descriptions.
"""

import re
from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec

from api.access.scopes import required_scope
from api.description.examples import problem_example
from api.description.operation import FILE, HTML, JSON, Body, Operation
from api.description.operations import OPERATIONS
from api.messages.events import EventName
from api.messages.parameters import DocumentVersion
from api.messages.problems import PROBLEM_MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem, ProblemKind
from streams.document import Document

_REF: Final = "#/components/schemas/{name}"
_ATTRIBUTE: Final = re.compile(r"^ {4}(?P<name>\w+): (?P<text>.+(?:\n {5,}.+)*)", re.MULTILINE)

_STATUSES_TO_COME_BACK: Final = (ProblemKind.OVERLOADED.status, ProblemKind.TOO_MANY_REQUESTS.status)
_KEPT_AS_METADATA: Final = {"description": "Kept under metadata, what is no scalar as JSON text"}
_SECURITY: Final = "key"
_REFUSALS: Final = (ProblemKind.UNAUTHENTICATED, ProblemKind.FORBIDDEN)
_KEY_HELP: Final = "A key of `embed-search keys create`; what needs none is a setting"

Json = dict[str, Any]


def openapi_document(version: str) -> bytes:
    """The document as JSON.

    Args:
        version: of this software.
    """
    types = list(dict.fromkeys([*(kind for operation in OPERATIONS for kind in operation.types()), Problem]))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, schemas, strict=True))
    described = {name: _described(schema) for name, schema in components.items()}
    for kind in (Document, DocumentVersion):
        described[kind.__name__]["additionalProperties"] = _KEPT_AS_METADATA
    shown_as_parameters = {operation.query.__name__ for operation in OPERATIONS if operation.query is not None}
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, by_type, described)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "embed-search",
                "version": version,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "securitySchemes": {_SECURITY: {"type": "http", "scheme": "bearer", "description": _KEY_HELP}},
                "schemas": {name: described[name] for name in sorted(described.keys() - shown_as_parameters)},
            },
        }
    )


def _operation(operation: Operation, by_type: dict[Any, Json], components: Json) -> Json:
    written: Json = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": _responses(operation, by_type),
    }
    if scope := required_scope(operation.method.upper(), operation.path):
        written["description"] = f"Scope: {scope}."
        written["security"] = [{_SECURITY: []}, {}]
    if parameters := _parameters(operation, components):
        written["parameters"] = parameters
    if operation.requests:
        content = {body.media_type: _content(body, by_type) for body in operation.requests}
        written["requestBody"] = {"required": True, "content": content}
    return written


def _responses(operation: Operation, by_type: dict[Any, Json]) -> Json:
    responses: Json = {
        str(status): {"description": body.description, "content": {body.media_type: _content(body, by_type)}}
        for status, body in operation.answers.items()
    }
    if operation.is_page or FILE in operation.path_parameters:
        responses["304"] = {"description": "If-None-Match names the file as it is", "content": {}}
    kinds = (*operation.problems, *_access_problems(operation), ProblemKind.HEAD_TOO_LARGE, ProblemKind.INTERNAL)
    for status in sorted({kind.status for kind in kinds}):
        responses[str(status)] = _problems([kind for kind in kinds if kind.status == status], by_type)
    if operation.is_page:
        for status in {kind.status for kind in _REFUSALS}:
            responses[str(status)]["content"][HTML] = {"schema": {}, "example": "<!doctype html>"}
    return responses


def _access_problems(operation: Operation) -> tuple[ProblemKind, ...]:
    if required_scope(operation.method.upper(), operation.path) is None:
        return ()
    return *_REFUSALS, ProblemKind.TOO_MANY_REQUESTS


def _problems(kinds: list[ProblemKind], by_type: dict[Any, Json]) -> Json:
    examples = {kind.slug: {"value": msgspec.to_builtins(problem_example(kind))} for kind in kinds}
    written: Json = {
        "description": "; ".join(kind.title for kind in kinds),
        "content": {PROBLEM_MEDIA_TYPE: {"schema": by_type[Problem], "examples": examples}},
    }
    if kinds[0].status in _STATUSES_TO_COME_BACK:
        schema = {"type": "integer", "examples": [RETRY_AFTER_SECONDS]}
        written["headers"] = {"Retry-After": {"description": "Seconds to wait", "schema": schema}}
    return written


def _content(body: Body, by_type: dict[Any, Json]) -> Json:
    schema: Json = {} if body.type is None else by_type[body.type]  # a stream of text, which a schema cannot describe
    if body.parts:
        schema = _event_schema([by_type[part] for part in body.parts])
    return {"schema": schema, "example": msgspec.to_builtins(body.example)}


def _event_schema(carried: list[Json]) -> Json:
    """One server-sent event, by the names of its fields."""
    data = {"type": "string", "contentMediaType": JSON, "contentSchema": {"anyOf": carried}}
    properties = {"event": {"type": "string", "enum": list(get_args(EventName))}, "data": data}
    return {"type": "object", "properties": properties, "required": [*properties]}


def _parameters(operation: Operation, components: Json) -> list[Json]:
    parameters: list[Json] = [
        {
            "name": each.name,
            "in": "path",
            "required": True,
            "description": each.description,
            "schema": each.schema,
            "example": each.example,
        }
        for each in operation.path_parameters
    ]
    if operation.query is not None:
        properties = components[operation.query.__name__]["properties"]
        parameters += [_query_parameter(name, dict(schema)) for name, schema in properties.items()]
    return parameters


def _query_parameter(name: str, schema: Json) -> Json:
    description = schema.pop("description", "")
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _described(schema: Json) -> Json:
    """The schema of a struct, its docstring taken apart."""
    docstring = cleandoc(schema.get("description", ""))  # before Python 3.13 it has the indentation of its source
    properties: dict[str, Json] = {name: dict(field) for name, field in schema.get("properties", {}).items()}
    for attribute in _ATTRIBUTE.finditer(docstring):
        if field := properties.get(attribute["name"]):
            field.setdefault("description", " ".join(attribute["text"].split()))
    described = schema | {"description": " ".join(docstring.partition("\n\n")[0].split())}
    return described | {"properties": properties} if properties else described
