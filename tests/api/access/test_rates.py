"""How often a client may ask: the arithmetic, the table that workers share, and what a client is told."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.access.authorised import Gate
from api.access.clients import UNKNOWN, client_of
from api.access.keys import KeyList, KeyRing, make_key, write_keys
from api.access.rates import Limits, Rate, RateLimiter, limits_of
from api.access.scopes import Scope
from api.errors import TooManyRequests
from streams.errors import SettingsError
from streams.settings import Settings, load_settings
from tests.api.access.test_authorised import NOW, HandClock
from tests.api.application import make_services, running
from tests.api.fakes import FakeBackend
from tests.api.process.test_server import serving

pytestmark = pytest.mark.alone

TWICE = Rate(1.0, 2)
PROXY = "10.1.2.3"


def _allowed(limiter: RateLimiter, client: str, rate: Rate) -> bool:
    try:
        limiter.take(client, rate)
    except TooManyRequests:
        return False
    return True


@settings(deadline=None)
@given(
    rate=st.builds(Rate, st.floats(0.1, 1_000), st.integers(1, 50)),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=80),
)
def test_never_more_than_a_burst_and_what_has_come_since(rate: Rate, pauses: list[float]) -> None:
    """Between any two requests that are let in lie no more than the rate allows, and one that waits long is let in."""
    clock = HandClock()
    limiter = RateLimiter(None, clock=clock)
    let_in: list[float] = []
    for pause in pauses:
        clock.seconds += pause / rate.per_second
        if _allowed(limiter, "a", rate):
            let_in.append(clock.seconds)
        else:
            assert len(let_in) >= rate.burst
    for first, began in enumerate(let_in):
        for last in range(first, len(let_in)):
            allowed = rate.burst + (let_in[last] - began) * rate.per_second
            assert last - first + 1 <= allowed * (1 + 1e-6)
    clock.seconds += rate.burst / rate.per_second
    assert all(_allowed(limiter, "a", rate) for _ in range(rate.burst))


def test_a_client_is_told_what_it_has_left() -> None:
    """Limit, remaining requests, seconds to a whole burst; refused, the seconds to the next request."""
    clock = HandClock()
    limiter = RateLimiter(None, clock=clock)
    assert limiter.take("a", TWICE).headers() == {
        "ratelimit-limit": "2",
        "ratelimit-remaining": "1",
        "ratelimit-reset": "1",
    }
    assert limiter.take("a", TWICE).headers()["ratelimit-remaining"] == "0"
    clock.seconds += 0.25
    with pytest.raises(TooManyRequests) as refused:
        limiter.take("a", TWICE)
    assert refused.value.seconds == pytest.approx(0.75)
    assert refused.value.headers["ratelimit-remaining"] == "0"
    assert limiter.take("b", TWICE).remaining == 1


def test_workers_count_together(tmp_path: Path) -> None:
    """Two limiters on one directory are one."""
    clock = HandClock()
    one, other = (RateLimiter(tmp_path, clock=clock) for _ in range(2))
    assert _allowed(one, "a", TWICE)
    assert _allowed(other, "a", TWICE)
    assert not _allowed(one, "a", TWICE)
    assert not _allowed(other, "a", TWICE)


def test_a_machine_that_was_started_anew_locks_nobody_out(tmp_path: Path) -> None:
    """The clock begins again, and what the table says of a time far ahead is from before."""
    clock = HandClock()
    clock.seconds = 1e6
    assert _allowed(RateLimiter(tmp_path, clock=clock), "a", TWICE)
    clock.seconds = 5.0
    assert _allowed(RateLimiter(tmp_path, clock=clock), "a", TWICE)


def test_many_clients_neither_grow_the_table_nor_widen_a_limit(tmp_path: Path) -> None:
    """With more clients than places, places are shared, which refuses more and never less."""
    clock = HandClock()
    limiter = RateLimiter(tmp_path, clock=clock)
    assert _allowed(limiter, "a", TWICE)
    assert _allowed(limiter, "a", TWICE)
    size = (tmp_path / "rates").stat().st_size
    for number in range(100_000):
        _allowed(limiter, f"other {number}", TWICE)
    assert not _allowed(limiter, "a", TWICE)
    assert (tmp_path / "rates").stat().st_size == size
    clock.seconds += 2
    assert all(_allowed(limiter, f"later {number}", TWICE) for number in range(1_000))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (PROXY, "198.51.100.1", "198.51.100.1"),
        (PROXY, "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        (PROXY, "192.0.2.66, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        (PROXY, "nonsense", PROXY),
        (PROXY, "198.51.100.1, nonsense", PROXY),
        (PROXY, "", PROXY),
        (PROXY, "10.9.9.9", "10.9.9.9"),
        ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:9::9", None, "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", None, "203.0.113.9"),
        (None, "198.51.100.1", UNKNOWN),
    ],
)
def test_the_address_of_a_client(peer: str | None, forwarded: str | None, client: str) -> None:
    """A header is believed as far as trusted proxies have written it, from its end on."""
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    assert client_of(peer, headers, (ip_network("10.0.0.0/8"),)) == client


@settings(deadline=None)
@given(headers=st.lists(st.binary(max_size=60), max_size=4), trusting=st.booleans())
def test_no_header_makes_an_error(headers: list[bytes], *, trusting: bool) -> None:
    """Whatever a client writes there, some address is its own."""
    trusted = (ip_network("0.0.0.0/0"),) if trusting else ()
    assert client_of("203.0.113.9", [(b"x-forwarded-for", value) for value in headers], trusted)


@pytest.mark.parametrize(
    ("chosen", "per_key", "per_address"),
    [
        ({}, None, None),
        ({"host": "0.0.0.0"}, Rate(50, 100), Rate(10, 20)),  # noqa: S104 - nothing listens
        ({"host": "0.0.0.0", "key_rate": 0, "address_rate": 7}, None, Rate(7, 14)),  # noqa: S104 - nothing listens
        ({"key_rate": 3}, Rate(3, 6), None),
    ],
)
def test_the_limits_that_hold(chosen: Mapping[str, Any], per_key: Rate | None, per_address: Rate | None) -> None:
    """None where only this machine connects, the usual ones elsewhere, and what is set in any case."""
    limits = limits_of(Settings(**chosen))
    assert (limits.per_key, limits.per_address) == (per_key, per_address)


def test_a_network_that_is_none_stops_the_start() -> None:
    """The setting is named."""
    with pytest.raises(SettingsError, match="EMBED_SEARCH_TRUSTED_PROXIES"):
        load_settings(trusted_proxies="10.0.0.0/8,proxy.example")


def _gate(tmp_path: Path, limits: Limits, *scopes: Scope) -> tuple[Gate, str]:
    kept, key = make_key("test", frozenset(scopes), None, NOW)
    write_keys(tmp_path / "keys", KeyList((kept,)))
    ring = KeyRing(tmp_path / "keys", clock=HandClock(), now=lambda: NOW)
    return Gate(ring, frozenset({Scope.READ}), limits, RateLimiter(None, clock=HandClock())), key


async def _statuses(client: httpx.AsyncClient, count: int, **headers: str) -> list[int]:
    return [(await client.get("/search?q=x", headers=headers)).status_code for _ in range(count)]


async def test_too_many_requests_are_a_problem_of_their_own(tmp_path: Path) -> None:
    """429 with the time to wait; answers tell the limit; probes are never limited; a key has a limit of its own."""
    gate, key = _gate(tmp_path, Limits(TWICE, TWICE), Scope.READ)
    async with running(make_services({"bm25": FakeBackend(("a", 1.0))}), gate) as client:
        first = await client.get("/search?q=x")
        assert first.status_code == 200
        assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("2", "1")
        assert (await client.get("/nowhere")).status_code == 401
        refused = await client.get("/search?q=x")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.headers["content-length"] == str(len(refused.content))
        assert refused.json()["type"] == "urn:embed-search:problem:too-many-requests"
        assert refused.headers["ratelimit-remaining"] == "0"
        assert (await client.get("/livez")).status_code == 200
        assert await _statuses(client, 3, authorization=f"Bearer {key}") == [200, 200, 429]


async def test_whoever_tries_keys_is_limited(tmp_path: Path) -> None:
    """Of a thousand wrong keys from one address, two are looked at; forged headers make it no other address."""
    gate, _ = _gate(tmp_path, Limits(None, TWICE))
    async with running(make_services({"bm25": FakeBackend(("a", 1.0))}), gate) as client:
        statuses = []
        for number in range(1_000):
            headers = {"authorization": f"Bearer {number:012x}.secret", "x-forwarded-for": f"198.51.100.{number % 250}"}
            statuses.append((await client.get("/search?q=x", headers=headers)).status_code)
    assert statuses == [401, 401] + [429] * 998


async def test_forged_addresses_widen_no_limit_behind_a_trusted_proxy_either(tmp_path: Path) -> None:
    """A thousand different hops in front of what the proxy has written are one client; another client is another."""
    trusted = (ip_network("127.0.0.0/8"),)  # which the requests of this test come from
    gate, _ = _gate(tmp_path, Limits(None, TWICE, trusted))
    async with running(make_services({"bm25": FakeBackend(("a", 1.0))}), gate) as client:
        statuses = []
        for number in range(1_000):
            forged = f"203.0.113.{number % 250}, 10.0.{number // 250}.{number % 250}, 198.51.100.1"
            statuses += await _statuses(client, 1, **{"x-forwarded-for": forged})
        assert statuses == [200, 200] + [429] * 998
        assert await _statuses(client, 3, **{"x-forwarded-for": "198.51.100.1, 198.51.100.2"}) == [200, 200, 429]


async def test_a_key_that_may_not_is_limited_too(tmp_path: Path) -> None:
    """What is forbidden counts."""
    gate, key = _gate(tmp_path, Limits(TWICE, None), Scope.READ)
    async with running(make_services({"bm25": FakeBackend()}), gate) as client:
        answers = [await client.delete("/documents/a", headers={"authorization": f"Bearer {key}"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [403, 403, 429]


def test_all_workers_of_a_server_count_together() -> None:
    """Over new connections, which any worker may take, a burst is let in and then what the rate allows."""
    with serving(2, {"EMBED_SEARCH_ADDRESS_RATE": "1"}) as server:
        began = monotonic()
        statuses = [server.status_of_new_connection() for _ in range(30)]
        allowed = 2 + (monotonic() - began)
    assert 2 <= statuses.count(200) <= allowed
    assert statuses.count(200) + statuses.count(429) == 30
