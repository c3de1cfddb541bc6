"""Who may do what: keys, scopes, and the table that no route escapes."""

import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.access.authorised import Gate
from api.access.keys import RECHECK_SECONDS, ApiKey, KeyList, KeyRing, make_key, write_keys
from api.access.scopes import OPEN_PATHS, Scope, anonymous_scopes, required_scope
from api.app import build_routes
from api.messages.problems import PROBLEM_MEDIA_TYPE
from streams.settings import Settings
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend

NOW = datetime(2026, 1, 1, tzinfo=UTC)

ROUTE_SCOPES = {
    ("DELETE", "/admin/dead-letters"): "admin",
    ("DELETE", "/admin/rebuilds/{job:str}"): "admin",
    ("DELETE", "/admin/verify/{job:str}"): "admin",
    ("DELETE", "/documents/{document_id:path}"): "write",
    ("GET", "/"): "read",
    ("GET", "/admin"): "admin",
    ("GET", "/admin/breakers"): "admin",
    ("GET", "/admin/dead-letters"): "admin",
    ("GET", "/admin/dead-letters/{position:str}"): "admin",
    ("GET", "/admin/indexes"): "admin",
    ("GET", "/admin/rebuilds"): "admin",
    ("GET", "/admin/rebuilds/{job:str}"): "admin",
    ("GET", "/admin/verify"): "admin",
    ("GET", "/admin/verify/{job:str}"): "admin",
    ("GET", "/asyncapi.json"): "write",
    ("GET", "/docs"): "read",
    ("GET", "/documents/{document_id:path}"): "read",
    ("GET", "/health"): "read",
    ("GET", "/livez"): None,
    ("GET", "/metrics"): "read",
    ("GET", "/openapi.json"): "read",
    ("GET", "/pages/{name:str}"): None,
    ("GET", "/readyz"): None,
    ("GET", "/search"): "read",
    ("GET", "/search/stream"): "read",
    ("GET", "/startupz"): None,
    ("GET", "/system"): "write",
    ("POST", "/admin/breakers/{method:str}/open"): "admin",
    ("POST", "/admin/breakers/{method:str}/reset"): "admin",
    ("POST", "/admin/dead-letters/replay"): "admin",
    ("POST", "/admin/dead-letters/resume"): "admin",
    ("POST", "/admin/indexes/{index:str}/promote"): "admin",
    ("POST", "/admin/indexes/{index:str}/rollback"): "admin",
    ("POST", "/admin/rebuilds"): "admin",
    ("POST", "/admin/verify"): "admin",
    ("POST", "/documents"): "write",
    ("POST", "/search"): "read",
    ("PUT", "/documents/{document_id:path}"): "write",
}


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.seconds


def _key(*scopes: Scope, lifetime: timedelta | None = None) -> tuple[ApiKey, str]:
    return make_key("test", frozenset(scopes), lifetime, NOW)


def _ring(path: Path | None, *, clock: HandClock | None = None, now: datetime = NOW) -> KeyRing:
    return KeyRing(path, clock=clock or HandClock(), now=lambda: now)


async def _answer(
    gate: Gate, method: str, path: str, headers: list[tuple[str, str]] | dict[str, str] | None = None
) -> httpx.Response:
    async with running(make_services({"bm25": FakeBackend()}), gate) as client:
        return await client.request(method, path, headers=headers)


def test_every_route_has_the_scope_it_should_have() -> None:
    """A new route, or one that needs another scope, has to be written down here."""
    app = build_routes(lambda: pytest.fail("not started"))
    routed = {
        (method, route.path): required_scope(method, re.sub(r"\{(.*)\}", _in_a_path, route.path))
        for route in app.routes
        for method in getattr(route, "methods", ())
        if method not in {"OPTIONS", "HEAD"}
    }
    assert routed == ROUTE_SCOPES


def _in_a_path(parameter: re.Match[str]) -> str:
    """What may stand there: a document's id has slashes, the name of a file has none."""
    return "some" if parameter[1].startswith("name") else "some/id"


@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]), st.text())
def test_what_is_not_listed_needs_admin(method: str, rest: str) -> None:
    """An address that nobody thought of is shut."""
    assert required_scope(method, f"/admin{rest}") is Scope.ADMIN
    assert required_scope("PATCH", f"/documents/{rest}") is Scope.ADMIN


async def test_without_a_key_only_probes_answer() -> None:
    """Nothing else is told to whoever may do nothing, but what pages are made of, not even which addresses are."""
    gate = Gate(_ring(None), frozenset())
    async with running(make_services({"bm25": FakeBackend()}), gate) as client:
        for method, path in [*ROUTE_SCOPES, ("GET", "/nowhere"), ("PATCH", "/search")]:
            answer = await client.request(method, path)
            if ROUTE_SCOPES.get((method, path), Scope.ADMIN) is None:
                assert answer.status_code == (200 if path in OPEN_PATHS else 404)
                continue
            assert answer.status_code == 401
            assert answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
            assert answer.headers["www-authenticate"] == 'Bearer realm="embed-search"'
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_other_spellings_of_an_address_open_nothing() -> None:
    """Slashes, dots and escapes lead to no route that needs more than the address seems to need."""
    gate = Gate(_ring(None), frozenset({Scope.READ}))
    async with running(make_services({"bm25": FakeBackend()}), gate) as client:
        for path in (
            "//system",
            "/system/",
            "/%73ystem",
            "/search/../system",
            "/livez/../system",
            "/livez%2f..%2fsystem",
            "/pages/../system",
            "/pages/%2e%2e/system",
            "/pages/%2e%2e%2fsystem",
            "//admin",
            "/pages/../admin",
        ):
            assert (await client.get(f"http://api{path}")).status_code == 401, path
        assert (await client.post("/documents/")).status_code == 401
        assert (await client.post("//documents")).status_code == 401


async def test_a_key_opens_what_its_scopes_say(tmp_path: Path) -> None:
    """A key for reading reads, and is told which scope it lacks for the rest."""
    kept, shown = _key(Scope.READ)
    write_keys(tmp_path / "keys", KeyList((kept,)))
    gate = Gate(_ring(tmp_path / "keys"), frozenset())
    headers = {"authorization": f"Bearer {shown}"}
    assert (await _answer(gate, "GET", "/search?q=a", headers)).status_code == 200
    refused = await _answer(gate, "GET", "/system", headers)
    assert refused.status_code == 403
    assert 'error="insufficient_scope", scope="write"' in refused.headers["www-authenticate"]
    assert (await _answer(gate, "GET", "/admin/breakers", headers)).status_code == 403


async def test_a_wrong_key_is_refused_even_where_none_is_needed(tmp_path: Path) -> None:
    """Whoever sends a key believes that it works; and no answer repeats it."""
    kept, shown = _key(Scope.READ)
    write_keys(tmp_path / "keys", KeyList((kept,)))
    gate = Gate(_ring(tmp_path / "keys"), frozenset(Scope))
    wrong = [
        f"Bearer {shown}x",
        f"Bearer {kept.prefix}.",
        f"Bearer {kept.prefix}",
        "Bearer",
        "Bearer .",
        f"Basic {shown}",
    ]
    for value in [*wrong, f"Bearer 000000000000.{shown}", f"Bearer {kept.prefix}.{kept.secret_sha256}"]:
        answer = await _answer(gate, "GET", "/search?q=a", {"authorization": value})
        assert answer.status_code == 401, value
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert kept.prefix not in answer.text
    twice = [("authorization", f"Bearer {shown}")] * 2
    assert (await _answer(gate, "GET", "/search?q=a", twice)).status_code == 401


def test_an_expired_key_is_worth_nothing(tmp_path: Path) -> None:
    """From the moment on that it names."""
    kept, shown = _key(Scope.READ, lifetime=timedelta(days=1))
    write_keys(tmp_path / "keys", KeyList((kept,)))
    assert _ring(tmp_path / "keys", now=NOW + timedelta(hours=23)).find(shown) == kept
    assert _ring(tmp_path / "keys", now=NOW + timedelta(days=1)).find(shown) is None


def test_keys_are_changed_without_a_restart(tmp_path: Path) -> None:
    """A key that is new opens, and one that was revoked shuts, once the file is looked at again."""
    (old, old_shown), (new, new_shown) = _key(Scope.READ), _key(Scope.READ)
    clock = HandClock()
    ring = _ring(tmp_path / "keys", clock=clock)
    write_keys(tmp_path / "keys", KeyList((old,)))
    assert ring.find(old_shown) == old
    write_keys(tmp_path / "keys", KeyList((new,)))
    clock.seconds += RECHECK_SECONDS
    assert ring.find(new_shown) == new
    assert ring.find(old_shown) is None


@pytest.mark.parametrize("damage", ["cut", "gone", "open"])
def test_a_broken_file_keeps_the_former_keys(tmp_path: Path, damage: str) -> None:
    """Half a file, none, or one that anybody may write locks nobody out, and lets nobody in."""
    (old, old_shown), (new, new_shown) = _key(Scope.READ), _key(Scope.READ)
    path, clock = tmp_path / "keys", HandClock()
    ring = _ring(path, clock=clock)
    write_keys(path, KeyList((old,)))
    assert ring.find(old_shown) == old
    write_keys(path, KeyList((new,)))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-2])
    elif damage == "gone":
        path.unlink()
    else:
        path.chmod(0o666)
    clock.seconds += RECHECK_SECONDS
    assert ring.find(old_shown) == old
    assert ring.find(new_shown) is None


def test_the_file_holds_no_key_and_is_its_owners_alone(tmp_path: Path) -> None:
    """Who reads the file cannot come in with it."""
    kept, shown = _key(Scope.READ)
    write_keys(tmp_path / "keys", KeyList((kept,)))
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
    assert shown.partition(".")[2] not in (tmp_path / "keys").read_text()


def test_random_keys_open_nothing_and_an_unknown_prefix_takes_as_long_as_a_known_one(tmp_path: Path) -> None:
    """10,000 guesses, and no sign of which prefixes there are: both compare a hash."""
    kept, _ = _key(Scope.READ)
    write_keys(tmp_path / "keys", KeyList((kept,)))
    ring = _ring(tmp_path / "keys")
    guesses = [_key(Scope.READ)[1].partition(".") for _ in range(5_000)]
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    for prefix, _, secret in guesses:
        for name, presented in (("known", f"{kept.prefix}.{secret}"), ("unknown", f"{prefix}.{secret}")):
            began = time.perf_counter()
            found = ring.find(presented)
            seconds[name].append(time.perf_counter() - began)
            assert found is None
    known, unknown = (sorted(seconds[name])[len(guesses) // 2] for name in ("known", "unknown"))
    assert unknown == pytest.approx(known, rel=0.25), "a look-up that returned early would take a fraction"


def test_an_unknown_prefix_takes_the_same_steps_as_a_known_one(tmp_path: Path) -> None:
    """Call by call, those in C included; so that no clock, however fine, can tell them apart."""
    kept, shown = _key(Scope.READ)
    write_keys(tmp_path / "keys", KeyList((kept,)))
    ring = _ring(tmp_path / "keys")
    assert ring.find(shown) == kept
    secret = shown.partition(".")[2]
    known, unknown = (
        _calls(partial(ring.find, f"{prefix}.{secret[::-1]}")) for prefix in (kept.prefix, kept.prefix[::-1])
    )
    assert kept.prefix != kept.prefix[::-1]
    assert known == unknown
    assert "compare_digest" in known
    assert "openssl_sha256" in known


def _calls(act: Callable[[], object]) -> list[str]:
    """The names of all functions that an act calls, in order."""
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)
        elif event == "c_call":
            called.append(argument.__name__)

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.parametrize(
    ("host", "named", "expected"),
    [
        ("127.0.0.1", None, "admin,read,write"),
        ("::1", None, "admin,read,write"),
        ("localhost", None, "admin,read,write"),
        ("0.0.0.0", None, ""),  # noqa: S104 - nothing is bound
        ("search.example", None, ""),
        ("0.0.0.0", "read", "read"),  # noqa: S104 - nothing is bound
        ("127.0.0.1", "none", ""),
        ("::", "all", "admin,read,write"),
    ],
)
def test_only_a_loopback_address_needs_no_key_by_itself(host: str, named: str | None, expected: str) -> None:
    """What can be reached from elsewhere is shut until somebody opens it."""
    settings = Settings(host=host, anonymous_scopes=named)
    assert ",".join(sorted(anonymous_scopes(settings))) == expected
