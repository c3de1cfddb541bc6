"""A filter as a condition on rows of documents: its text, which holds no value, and the values of its parameters."""

from collections.abc import Iterable
from typing import Any, Final

from indexer.filtering import Filter, Label

_SIGN: Final = 1 << 63


def signed(labels: Iterable[Label]) -> list[int]:
    """Labels as PostgreSQL keeps them, which has no unsigned numbers: the same 64 bits, in order."""
    return sorted(label - 2 * _SIGN if label >= _SIGN else label for label in labels)


def condition(only: Filter, *, first: int) -> str:
    """What a row of documents must fulfil; one without a date fulfils no period.

    Args:
        only: the documents that may be found; has at least one condition.
        first: number of the first parameter; for each value of `values` there is one.
    """
    parts = [f"labels && ${number}::bigint[]" for number in range(first, first + len(only.labels))]
    if only.published is not None:
        following = first + len(only.labels)
        parts.append(f"published_us BETWEEN ${following}::bigint AND ${following + 1}::bigint")
    return " AND ".join(parts)


def values(only: Filter) -> list[Any]:
    """The values of the parameters of `condition`."""
    groups: list[Any] = [signed(group) for group in only.labels]
    return groups if only.published is None else [*groups, only.published.first, only.published.last]
