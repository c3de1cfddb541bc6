"""`explain`: how the score of each hit of a page comes about."""

from typing import Any

import httpx
import pytest

from indexer.errors import BackendUnavailable
from tests.api.application import Json, make_services, running
from tests.api.fakes import FakeBackend


async def _ask(client: httpx.AsyncClient, **request: Any) -> list[Json]:
    response = await client.post("/search", json={"query": "x", "explain": True, **request})
    assert response.status_code == 200, response.text
    results: list[Json] = response.json()["results"]
    return results


async def test_each_method_explains_its_own_hits_of_the_page() -> None:
    """And no others; fusion says what it makes of them."""
    backends = {"bm25": FakeBackend(("a", 3.0), ("b", 2.0), ("c", 1.0)), "semantic": FakeBackend(("b", 0.5))}
    async with running(make_services(backends)) as client:
        first, second = await _ask(client, limit=2)
    assert [first["id"], second["id"]] == ["b", "a"]
    assert [sorted(ids) for ids in backends["bm25"].explained] == [["a", "b"]]
    assert backends["semantic"].explained == [["b"]]
    assert first["explanation"]["methods"] == {
        "bm25": {"value": 2.0, "description": "as it is"},
        "semantic": {"value": 0.5, "description": "as it is"},
    }
    assert second["explanation"]["methods"].keys() == {"bm25"}
    assert first["explanation"]["errors"] == {}


@pytest.mark.parametrize("kind", ["rrf", "linear"])
async def test_fusion_adds_up(kind: str) -> None:
    """The contributions are the score, and each follows from what is beside it."""
    backends = {
        "bm25": FakeBackend(("a", 3.0), ("b", 2.0), ("c", 1.0)),
        "semantic": FakeBackend(("b", 0.5), ("c", 0.1)),
    }
    async with running(make_services(backends)) as client:
        results = await _ask(client, fusion={"kind": kind, "k": 10, "weights": {"semantic": 1.5}})
    for result in results:
        fusion = result["explanation"]["fusion"]
        assert fusion["value"] == result["score"]
        assert sum(part["value"] for part in fusion["details"]) == pytest.approx(result["score"], rel=1e-9)
        for part in fusion["details"]:
            method = part["description"].partition(":")[0]
            assert part["value"] == result["methods"][method]["contribution"]
            named = {each["description"]: each["value"] for each in part["details"]}
            assert named["weight"] == {"bm25": 1.0, "semantic": 1.5}[method]
            if kind == "rrf":
                assert part["value"] == pytest.approx(named["weight"] / (named["k"] + named["rank"]), rel=1e-9)


async def test_a_method_that_cannot_explain_says_why() -> None:
    """The search is answered all the same."""
    backends = {"bm25": FakeBackend(("a", 1.0)), "native": FakeBackend(("a", 1.0))}
    backends["native"].fail(BackendUnavailable("the disk is away"), "explain")
    async with running(make_services(backends)) as client:
        (result,) = await _ask(client)
    assert result["explanation"]["errors"] == {"native": "the disk is away"}
    assert result["explanation"]["methods"].keys() == {"bm25"}


async def test_links_take_it_too_and_nothing_is_explained_unasked() -> None:
    """As it costs something."""
    backend = FakeBackend(("a", 1.0))
    async with running(make_services({"bm25": backend})) as client:
        explained = (await client.get("/search?q=x&explain=true")).json()["results"]
        plain = (await client.get("/search?q=x")).json()["results"]
        newest = (await client.get("/search?explain=true")).json()["results"]
        nothing = await _ask(client, offset=5)
    assert explained[0]["explanation"]["methods"].keys() == {"bm25"}
    assert plain[0]["explanation"] is None
    assert newest[0]["explanation"]["fusion"]["value"] == 1_000.0
    assert (nothing, backend.explained) == ([], [["a"]])
