"""Writes `docs/http-api.md`: `python -m infra.reference.http_api > docs/http-api.md`."""

import json
from collections.abc import Iterator
from typing import Final

from api.access.scopes import required_scope
from api.description.openapi import openapi_document
from api.messages.problems import PROBLEM_MEDIA_TYPE, ProblemKind
from infra.reference.markdown import table
from infra.reference.schemas import Json, fields_table, meaning, type_name

_INTRODUCTION: Final = """# HTTP API

Made from the OpenAPI 3.1 document that a running system answers at `/openapi.json`, and shows at `/docs` with examples
of each answer. A key goes into the header `Authorization: Bearer KEY`; what needs none is a
[setting](settings.md) (`EMBED_SEARCH_ANONYMOUS_SCOPES`). Whatever goes wrong is answered as one of the
[problems](#problems).

"""
_VERSION: Final = ""  # the page is of the code that it lies beside


def http_api_page() -> str:
    """The page, in Markdown."""
    document: Json = json.loads(openapi_document(_VERSION))
    operations = [(method, path, o) for path, methods in document["paths"].items() for method, o in methods.items()]
    contents = table(
        ["request", "scope", "what it does"],
        ((f"[`{m.upper()} {p}`](#{_anchor(m, p)})", _scope(m, p), o["summary"]) for m, p, o in operations),
    )
    sections = (_operation(method, path, operation) for method, path, operation in operations)
    return "\n".join([_INTRODUCTION + contents, *sections, _types(document), _problems()])


def _anchor(method: str, path: str) -> str:
    """What becomes of the heading in an address."""
    return f"{method}-{''.join(char for char in path if char.isalnum() or char in '-_')}".rstrip("-")


def _scope(method: str, path: str) -> str:
    scope = required_scope(method.upper(), path)
    return f"`{scope}`" if scope else "none"


def _operation(method: str, path: str, operation: Json) -> str:
    return "\n".join(
        [
            f"## `{method.upper()} {path}`\n",
            f"{operation['summary']}. Scope: {_scope(method, path)}.\n",
            *_parameters(operation),
            *_request(operation),
            table(["status", "answer", "body"], map(_response, operation["responses"].items())),
        ]
    )


def _parameters(operation: Json) -> Iterator[str]:
    if parameters := operation.get("parameters"):
        rows = ((f"`{p['name']}`", p["in"], type_name(p["schema"]), meaning({**p, **p["schema"]})) for p in parameters)
        yield table(["parameter", "in", "type", "meaning"], rows)


def _request(operation: Json) -> Iterator[str]:
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Takes `{media_type}`{_of(body['schema'])}, such as\n"
        yield f"```json\n{_written(body['example'])}\n```\n"


def _response(entry: tuple[str, Json]) -> tuple[str, str, str]:
    status, response = entry
    bodies = (_body(media_type, content) for media_type, content in response["content"].items())
    return status, response["description"], " or ".join(bodies)


def _body(media_type: str, content: Json) -> str:
    if media_type == PROBLEM_MEDIA_TYPE:
        return ", ".join(f"`{kind}`" for kind in content["examples"])
    return type_name(content["schema"]) if "$ref" in content["schema"] else f"`{media_type}`"


def _of(schema: Json) -> str:
    return f", a {type_name(schema)}" if schema else ""


def _written(example: object) -> str:
    return example.rstrip("\n") if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)


def _types(document: Json) -> str:
    schemas: Json = document["components"]["schemas"]
    sections = (f"### {name}\n\n{schema['description']}\n\n{fields_table(schema)}" for name, schema in schemas.items())
    return "## Types\n\n" + "\n".join(sections)


def _problems() -> str:
    rows = ((f"`{kind.slug}`", str(kind.status), kind.title) for kind in ProblemKind)
    return (
        f"## Problems\n\nErrors are `{PROBLEM_MEDIA_TYPE}` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), a"
        " [Problem](#problem) whose `type` is `urn:embed-search:problem:` and one of these names.\n\n"
        + table(["name", "status", "title"], rows)
    )


if __name__ == "__main__":
    print(http_api_page(), end="")  # noqa: T201 - standard output is where the page goes
