"""What a search may be narrowed to: `filters` of a JSON request, or parameters of a link, to an index's `Filter`.

All filters must hold. A list holds when any of its values does; a document's tags, when any of them is asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from api.errors import InvalidRequest
from indexer.filtering import METADATA, Filter, Period, label, microseconds
from streams.document import MAX_METADATA_KEY_CHARACTERS, Scalar

MAX_FILTERS: Final = 16
MAX_VALUES: Final = 64

PUBLISHED_AT: Final = "published_at"
_EARLIEST: Final = -(1 << 62)
_LATEST: Final = 1 << 62
_TEXT_FIELDS: Final = ("source", "tags", "language")
_FIELDS: Final = f"{', '.join(_TEXT_FIELDS)}, {PUBLISHED_AT} and {METADATA}NAME"


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between which points in time, each with a UTC offset.

    Attributes:
        gte: at it or later.
        gt: later.
        lte: at it or earlier.
        lt: earlier.
    """

    gte: datetime | None = None
    gt: datetime | None = None
    lte: datetime | None = None
    lt: datetime | None = None


FilterValue = Scalar | Annotated[list[Scalar], Meta(min_length=1, max_length=MAX_VALUES)] | Bounds
Filters = Annotated[
    dict[str, FilterValue],
    Meta(
        max_length=MAX_FILTERS,
        description=f"Only documents for which all of these hold, by field: {_FIELDS}. Of a list, any value",
    ),
]


def to_filter(asked: Mapping[str, FilterValue], *, path: str = "") -> Filter:
    """Hold filters against the rules.

    Args:
        asked: values by field.
        path: of the filters in the request, for errors.

    Raises:
        InvalidRequest: naming the field that breaks a rule.
    """
    if len(asked) > MAX_FILTERS:
        raise InvalidRequest(path.rstrip("."), f"there may be at most {MAX_FILTERS} filters, got {len(asked)}")
    groups = tuple(
        frozenset(label(field, each) for each in _values(field, value, path + field))
        for field, value in asked.items()
        if field != PUBLISHED_AT
    )
    return Filter(groups, _period(asked[PUBLISHED_AT], path + PUBLISHED_AT) if PUBLISHED_AT in asked else None)


def from_texts(texts: Mapping[str, str]) -> dict[str, FilterValue]:
    """What the parameters of a link ask for, and options of a command.

    Args:
        texts: by field, where lists are separated by commas; a bound by `published_at.` and its name. What could be
            a number, true, false or null is looked for as that and as text.

    Raises:
        InvalidRequest: naming the parameter that cannot be read.
    """
    filters: dict[str, FilterValue] = {}
    bounds: dict[str, str] = {}
    for name, text in texts.items():
        if name.startswith(f"{PUBLISHED_AT}."):
            bounds[name.removeprefix(f"{PUBLISHED_AT}.")] = text
        elif name.startswith(METADATA):
            filters[name] = _checked(name, _readings(text))
        else:
            filters[name] = _checked(name, [*comma_separated(text)])
    if bounds:
        filters[PUBLISHED_AT] = _bounds(bounds)
    return filters


def comma_separated(text: str) -> list[str]:
    """The items of a list as parameters of a link, and options of a command, have it; empty ones are left out."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _checked(name: str, values: list[Scalar]) -> list[Scalar]:
    if not 1 <= len(values) <= MAX_VALUES:
        raise InvalidRequest(name, f"must be 1 to {MAX_VALUES} values, separated by commas")
    return values


def _readings(text: str) -> list[Scalar]:
    """The values that a text may stand for."""
    try:
        return [text, msgspec.json.decode(text, type=int | float | bool | None)]
    except msgspec.DecodeError:
        return [text]


def _bounds(texts: Mapping[str, str]) -> Bounds:
    for name, text in texts.items():
        try:
            msgspec.convert({name: text}, Bounds)
        except msgspec.ValidationError as exc:
            known = name in Bounds.__struct_fields__
            raise InvalidRequest(
                f"{PUBLISHED_AT}.{name[:64]}", "must be a time like 2024-01-31T12:00:00Z" if known else "is no bound"
            ) from exc
    return msgspec.convert(texts, Bounds)


def _values(field: str, value: FilterValue, path: str) -> Iterator[Scalar]:
    named = _is_metadata(field)
    if field not in _TEXT_FIELDS and not named:
        raise InvalidRequest(path[:128], f"there is no such filter; there are {_FIELDS}")
    if isinstance(value, Bounds):
        raise InvalidRequest(path, f"must be a value or a list of values; bounds are for {PUBLISHED_AT}")
    for each in value if isinstance(value, Sequence) and not isinstance(value, str) else (value,):
        if not named and not (isinstance(each, str) and each):
            raise InvalidRequest(path, "must be text that is not empty, or a list of such")
        yield each


def check_facets(fields: Sequence[str], *, most: int) -> tuple[str, ...]:
    """Hold the names of facets against the rules; one that is named twice counts once.

    Raises:
        InvalidRequest: naming `facets`.
    """
    if len(fields) > most:
        raise InvalidRequest("facets", f"there may be at most {most} facets, got {len(fields)}")
    for field in fields:
        if field not in _TEXT_FIELDS and not _is_metadata(field):
            there_are = f"{', '.join(_TEXT_FIELDS)} and {METADATA}NAME"
            raise InvalidRequest("facets", f"there is no facet {field[:64]!r}; there are {there_are}")
    return tuple(dict.fromkeys(fields))


def _is_metadata(field: str) -> bool:
    return field.startswith(METADATA) and len(METADATA) < len(field) <= len(METADATA) + MAX_METADATA_KEY_CHARACTERS


def _period(value: FilterValue, path: str) -> Period:
    if not isinstance(value, Bounds):
        raise InvalidRequest(path, "must be an object with gte, gt, lte or lt")
    moments = {name: moment for name in value.__struct_fields__ if (moment := getattr(value, name)) is not None}
    if not moments:
        raise InvalidRequest(path, "must have at least one of gte, gt, lte and lt")
    for name, moment in moments.items():
        if moment.tzinfo is None:
            raise InvalidRequest(f"{path}.{name}", "must carry a UTC offset, as in 2024-01-31T12:00:00Z")
    at = {name: microseconds(moment) for name, moment in moments.items()}
    first = max(at.get("gte", _EARLIEST), at.get("gt", _EARLIEST) + 1)
    last = min(at.get("lte", _LATEST), at.get("lt", _LATEST) - 1)
    return Period(first, last)
