"""What a search is narrowed to: from a request or a link to what each index is asked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from indexer.filtering import EVERYTHING, Filter, Period, label, microseconds
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


async def _asked(request: dict[str, Any]) -> Filter:
    """What both of two backends were asked."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "native": FakeBackend(("a", 1.0))}
    async with running(make_services(backends)) as client:
        response = await client.post("/search", json={"query": "a", **request})
    assert response.status_code == 200, response.text
    (first,), (second,) = (backend.filters for backend in backends.values())
    assert first == second
    return first


async def _asked_by_link(link: str) -> Filter:
    backend = FakeBackend(("a", 1.0))
    async with running(make_services({"bm25": backend})) as client:
        response = await client.get(f"/search?{link}")
    assert response.status_code == 200, response.text
    (asked,) = backend.filters
    return asked


async def test_without_filters_everything_may_be_found() -> None:
    """Neither a request nor a link narrows a search that does not say so."""
    assert await _asked({}) == await _asked({"filters": {}}) == await _asked_by_link("q=a") == EVERYTHING


async def test_every_filter_reaches_every_index() -> None:
    """A value alone is a list of one; of a list any value will do, and all filters must hold."""
    asked = await _asked(
        {
            "filters": {
                "source": "kernel",
                "tags": ["net", "mm"],
                "language": "EN",
                "metadata.k": [1, True, None, "v", 2.5],
            }
        }
    )
    assert asked.published is None
    assert list(asked.labels) == [
        {label("source", "kernel")},
        {label("tags", "net"), label("tags", "mm")},
        {label("language", "en")},
        {label("metadata.k", value) for value in (1, True, None, "v", 2.5)},
    ]


@pytest.mark.parametrize(
    ("bounds", "first", "last"),
    [
        ({"gte": "2024-01-01T00:00:00Z", "lte": "2024-01-01T02:00:00+02:00"}, 0, 0),
        ({"gt": "2024-01-01T00:00:00Z", "lt": "2024-01-01T00:00:01Z"}, 1, 999_999),
        ({"gt": "2023-12-31T23:59:59Z", "gte": "2024-01-01T00:00:00Z", "lte": "2024-01-01T00:00:00Z"}, 0, 0),
    ],
)
async def test_bounds_of_time(bounds: dict[str, str], first: int, last: int) -> None:
    """A bound is in or out as it says, to the microsecond; of two on one side the stricter counts."""
    start = microseconds(NEW_YEAR)
    expected = Filter(published=Period(start + first, start + last))
    assert await _asked({"filters": {"published_at": bounds}}) == expected
    link = "&".join(f"published_at.{name}={moment.replace('+', '%2B')}" for name, moment in bounds.items())
    assert await _asked_by_link(f"q=a&{link}") == expected


async def test_one_bound_leaves_the_other_side_open() -> None:
    """Every date that a document can have lies between."""
    since = (await _asked({"filters": {"published_at": {"gte": "2024-01-01T00:00:00Z"}}})).published
    until = (await _asked({"filters": {"published_at": {"lte": "2024-01-01T00:00:00Z"}}})).published
    assert since
    assert until
    assert since.first == until.last == microseconds(NEW_YEAR)
    assert since.last > microseconds(datetime.max.replace(tzinfo=UTC))
    assert until.first < microseconds(datetime.min.replace(tzinfo=UTC) + timedelta(days=1))


async def test_a_link_narrows_like_a_request() -> None:
    """Lists are separated by commas; what may be a number is looked for as both."""
    asked = await _asked_by_link("q=a&source=kernel&tags=net,+mm&language=en-US&metadata.year=2024&metadata.k=x,y")
    assert list(asked.labels) == [
        {label("source", "kernel")},
        {label("tags", "net"), label("tags", "mm")},
        {label("language", "en-us")},
        {label("metadata.year", 2024), label("metadata.year", "2024")},
        {label("metadata.k", "x,y")},
    ]


async def test_the_newest_documents_are_narrowed_too() -> None:
    """Without a query the filters hold all the same."""
    assert list((await _asked_by_link("source=kernel")).labels) == [{label("source", "kernel")}]
