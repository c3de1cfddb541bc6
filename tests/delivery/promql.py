"""What an expression of PromQL asks for: series and labels, as far as our rules and dashboards use the language."""

import re
from collections.abc import Iterator

import msgspec

_SERIES = re.compile(r"\b(embed_search[a-z0-9_:]*|up|ALERTS)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


class Selector(msgspec.Struct, frozen=True):
    """Series that are asked for.

    Attributes:
        name: of the metric, with the suffix of a histogram's parts.
        matchers: label, operator and value.
    """

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expression: str) -> Iterator[Selector]:
    """Every selector of an expression."""
    for found in _SERIES.finditer(expression):
        yield Selector(found[1], tuple(_MATCHER.findall(found[2] or "")))


def grouped(expression: str) -> set[str]:
    """The labels that an expression groups or joins by."""
    return {label.strip() for found in _GROUPING.finditer(expression) for label in found[1].split(",")}
