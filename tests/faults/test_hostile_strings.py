"""Experiment: hostile strings in every place that a client may write to have no effect, and make no line of a log."""

import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import httpx
import pytest

from infra.postgres.roles import READER, WRITER, make_password, make_roles, url_of_role
from infra.supervisor.ports import free_port
from tests.faults.hostile import FORGED_EVENT, hostile_strings
from tests.system.processes import Program, program
from tests.system.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SPACE, DELETE = 0x20, 0x7F
"""A client can put no control character into a header; bare sockets are another test's."""

SLOWEST_SECONDS = 25.0
PATIENCE_SECONDS = 400.0

PLAIN = re.compile(r"[a-zA-Z0-9._-]+")
"""What names of our own files are made of."""


class Attacked:
    """A running system, and what it is attacked with."""

    def __init__(self, http: httpx.AsyncClient, api: Program, database_url: str, folder: Path) -> None:
        self.http = http
        self.api = api
        self.database_url = database_url
        self.prize = folder / "prize"
        self.strings = hostile_strings(self.prize)
        self.data = folder / "data"

    async def has_read(self, token: str) -> bool:
        """Whether all indexes have read up to a token."""
        answer = await self.http.post("/search", json={"query": "body", "wait_for": token})
        return not answer.json()["partial"]

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a request, which must be answered soon, and not with an error of the server's."""
        began = time.monotonic()
        answer = await self.http.request(method, path, **options)
        assert answer.status_code < 500, (method, path, options, answer.text)
        assert time.monotonic() - began < SLOWEST_SECONDS, (method, path, options)
        return answer

    def lines(self) -> list[dict[str, Any]]:
        """The log of the API, of which every line is an object."""
        return [json.loads(line) for line in self.api.output.split("\n") if line]


@pytest.fixture
async def attacked(
    kafka_bootstrap: str, database_dsn: str, model_path: Path, tmp_path: Path
) -> AsyncIterator[Attacked]:
    """All four indexes and the API, under the roles of the database."""
    passwords = {role: make_password() for role in (WRITER, READER)}
    await make_roles(database_dsn, passwords)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "MODEL_PATH": str(model_path),
        "EMBED_SEARCH_DATA_DIR": str(tmp_path / "data"),
        "EMBED_SEARCH_TOPIC": f"hostile-{uuid4().hex}",
        "EMBED_SEARCH_PORT": str(free_port()),
        "EMBED_SEARCH_WORKERS": "1",
        "EMBED_SEARCH_TIMEOUT_MS": "10000",
    }
    urls = {role: {"DATABASE_URL": url_of_role(database_dsn, role, password)} for role, password in passwords.items()}
    base = f"http://127.0.0.1:{environment['EMBED_SEARCH_PORT']}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(program(["index"], environment | urls[WRITER], tmp_path / "index.log"))
        api = stack.enter_context(program(["api"], environment | urls[READER], tmp_path / "api.log"))
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=120) as http:

            async def healthy() -> bool:
                try:
                    return bool((await http.get("/health")).json()["status"] == "healthy")
                except httpx.TransportError:
                    return False

            await until(healthy, "all indexes answer")
            yield Attacked(http, api, database_dsn, tmp_path)


async def tables(database_url: str) -> list[str]:
    """All tables there are."""
    connection = await asyncpg.connect(database_url, timeout=30)
    try:
        rows = await connection.fetch("SELECT schemaname || '.' || tablename AS name FROM pg_tables ORDER BY name")
        return [row["name"] for row in rows]
    finally:
        await connection.close()


async def test_hostile_strings_have_no_effect(attacked: Attacked) -> None:
    """As ids and texts they come back as they were sent; asked for, they find or do not; nothing else happens."""
    assert len(attacked.strings) > 200
    before = await tables(attacked.database_url)
    stored, token = [], ""
    for text in attacked.strings:
        document = {"id": text, "title": text, "body": f"body {text}", "source": text[:100], "tags": [text[:60]]}
        answer = await attacked.send("POST", "/documents", json=document)
        if answer.status_code == 202 and not answer.json().get("rejected"):
            stored.append(text)
            token = answer.json()["token"]
        else:
            assert answer.status_code in {202, 400, 413, 422}, answer.text
    assert len(stored) > len(attacked.strings) * 0.8
    await until(lambda: attacked.has_read(token), "all indexes have read all of it", seconds=PATIENCE_SECONDS)
    searches = sum(line["event"] == "search" for line in attacked.lines())
    for text in stored:
        # A client takes dots between slashes out of an address (RFC 3986, 5.2.4), unless they are encoded too.
        found = await attacked.send("GET", f"/documents/{quote(text, safe='').replace('.', '%2E')}")
        if found.status_code == 200:
            assert found.json()["document"]["id"] == text
        else:  # slashes alone are no part of an address
            assert text.strip("/") == "", (text, found.text)
            assert found.status_code in {404, 405}, (text, found.text)
    for text in attacked.strings:
        for options in (
            {"query": text},
            {"query": "body", "filters": {"source": text, "tags": [text], "metadata.k": text}},
            {"query": "body", "methods": [text]},
            {"query": "body", "wait_for": text},
        ):
            answer = await attacked.send("POST", "/search", json=options)
            assert answer.status_code in {200, 400}, answer.text
            searches += answer.status_code == 200
        name = quote(text, safe="")
        assert (await attacked.send("POST", f"/admin/breakers/{name}/open")).status_code in {400, 404, 405}, text
        header = bytes(byte if byte >= SPACE and byte != DELETE else SPACE for byte in text.encode()).strip()
        refused = await attacked.send("GET", "/search?q=a", headers=[(b"authorization", b"Bearer " + header)])
        assert refused.status_code in {400, 401}, text
    assert not attacked.prize.exists()
    assert await tables(attacked.database_url) == before
    assert {path.name for path in attacked.data.iterdir()} <= {"indexes", "breakers", "jobs", "queries"}
    assert [path for path in attacked.data.rglob("*") if not PLAIN.fullmatch(path.name)] == []
    assert not any((attacked.data / "breakers").glob("*"))
    assert attacked.api.running
    lines = attacked.lines()
    assert sum(line["event"] == "search" for line in lines) == searches
    assert [line for line in lines if line["event"] == FORGED_EVENT] == []
