"""JSON Schemas as Markdown: what a field is, in a few words."""

from collections.abc import Iterator
from typing import Any, Final

from infra.reference.markdown import table

Json = dict[str, Any]

_LIMITS: Final = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "maxProperties": "at most {} entries",
}


def fields_table(schema: Json) -> str:
    """The fields of an object: names, types, and what each means."""
    required = set(schema.get("required", ()))
    rows = [
        (f"`{name}`" + (" (required)" if name in required else ""), type_name(field), meaning(field))
        for name, field in schema.get("properties", {}).items()
    ]
    return table(["field", "type", "meaning"], rows)


def type_name(schema: Json) -> str:
    """What a value is; types with a name are links to their section."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_name(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of {type_name(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_name(schema['additionalProperties'])}"
    return str(kind or "anything")


def meaning(field: Json) -> str:
    """What is said of a field, of one that may be null by the type beside null, and its limits."""
    said = [field, *field.get("anyOf", ())]
    described = next((each["description"] for each in said if each.get("description")), "")
    return "; ".join(part for part in (described.removesuffix("."), *_limits(field)) if part)


def _limits(field: Json) -> Iterator[str]:
    yield from (words.format(f"{field[key]:,}") for key, words in _LIMITS.items() if key in field)
    if field.get("default") not in (None, "", [], {}):
        yield f"default `{field['default']}`"
