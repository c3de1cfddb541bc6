"""Why a document has the score it has, as a tree of numbers: each is made of those below it, by the rule beside it."""

from typing import Any

import msgspec


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One number, and what it is made of.

    Attributes:
        description: what it is, or the formula that makes it of its details.
        value: the number; null where there is only something to say.
        details: what goes into the formula.
    """

    description: str
    value: float | None = None
    details: "tuple[Explanation, ...]" = ()


def explanation_from(tree: Any) -> Explanation:  # noqa: ANN401 - JSON of another program
    """Read a tree as Lucene and Tantivy write it: `value`, `description`, `details`."""
    return msgspec.convert(tree, Explanation, strict=False)
