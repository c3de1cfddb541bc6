"""Hostile queries through the whole API to the real engines; `tests/faults` throws them under load."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.application import make_services, running
from tests.faults.bombs import BOMBS, Bomb
from tests.faults.corpus import documents
from tests.indexer.contract.changes import upsert
from tests.indexer.contract.harness import LocalIndex, index_changes

pytestmark = pytest.mark.alone

LOCAL = ("bm25", "tantivy", "native")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API over the three local engines, each with some documents."""
    changes = [upsert(one["id"], one["body"], offset=offset) for offset, one in enumerate(documents(0, 50))]
    backends = {}
    for name in LOCAL:
        index = LocalIndex(name, tmp_path)
        writer = await index.open_writer()
        await index_changes(writer, *changes)
        await writer.close()
        backends[name] = await index.open_backend()
    async with running(make_services(backends)) as opened:
        yield opened
    for backend in backends.values():
        await backend.close()


async def test_no_bomb_fails_as_the_servers_own_fault(client: httpx.AsyncClient) -> None:
    """Each is refused as the client's mistake, or answered within the deadline; none takes the process down."""
    outcomes = {bomb.name: await throw(client, bomb) for bomb in BOMBS}
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in {200, 400, 413}} == {}
    assert outcomes["100,000 nested parentheses"] == 413
    assert outcomes["nested parentheses as far as a query goes"] == 400
    assert outcomes["quotation marks"] == 200
    assert outcomes["an offset of 10**12"] == 400
    assert outcomes["JSON 2,000 deep"] == 400
    assert outcomes["invalid UTF-8"] == 400


async def throw(client: httpx.AsyncClient, bomb: Bomb) -> int:
    """Send it and give the status."""
    headers = {"content-type": "application/json"}
    return (await client.post("/search", content=bomb.body, headers=headers)).status_code
