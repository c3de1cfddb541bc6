"""The layer that lets requests in, and no more of them than their client may make.

It lies around the framework, so that no route, and no error of it, is outside.

A key comes as `Authorization: Bearer prefix.secret` (RFC 6750) and in no other way: addresses end up in logs.
"""

from typing import Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send
from litestar.types import Scope as AsgiScope

from api.access.clients import client_of
from api.access.keys import KeyRing
from api.access.rates import Allowance, Limits, RateLimiter
from api.access.scopes import PAGES, Scope, required_scope
from api.errors import Forbidden, Unauthenticated

CALLER: Final = "caller"
"""Where a request's state holds the prefix of the key it came with, or `anonymous`."""

CLIENT: Final = "client"
"""Where it holds whose the request is, for what is shared among clients: a key, or an address without one."""

REFUSAL: Final = "refusal"
"""Where the state of a request for a page holds why whoever asks may not use it."""

ANONYMOUS: Final = "anonymous"
NO_LIMITS: Final = Limits()

_SCHEME: Final = "bearer"


class Admitted(msgspec.Struct, frozen=True):
    """A request that was let in.

    Attributes:
        caller: the prefix of its key, or `ANONYMOUS`.
        client: names its key, or the address it comes from; two that are told apart differ here. Empty where anybody
            may ask, which takes nothing that is shared out.
        allowance: what its client has left; None for as much as it likes.
    """

    caller: str
    client: str = ""
    allowance: Allowance | None = None


class Gate:
    """Decides who may do what.

    Args:
        keys: those that hold.
        anonymous: what needs no key.
        limits: how often who may ask.
        limiter: counts it.
    """

    def __init__(
        self, keys: KeyRing, anonymous: frozenset[Scope], limits: Limits = NO_LIMITS, limiter: RateLimiter | None = None
    ) -> None:
        self._keys = keys
        self._anonymous = anonymous
        self._limits = limits
        self._limiter = limiter or RateLimiter(None)

    def admit(self, scope: HTTPScope) -> Admitted:
        """Let a request in, and say who it is from.

        A key that is wrong is refused even where none is needed: its owner believes that it works. Whoever tries keys
        out is an address like any other, and as limited.

        Raises:
            TooManyRequests: its client has made too many.
            Unauthenticated: it has no key and needs one, or the key is wrong.
            Forbidden: its key is good, but not for this.
        """
        needed = required_scope(scope["method"], scope["path"])
        if needed is None:
            return Admitted(ANONYMOUS)
        presented = [value for name, value in scope["headers"] if name == b"authorization"]
        key = self._keys.find(_bearer(presented)) if presented else None
        client = f"address {self._address(scope)}" if key is None else f"key {key.prefix}"
        rate = self._limits.per_address if key is None else self._limits.per_key
        allowance = self._limiter.take(client, rate) if rate else None
        if presented and key is None:
            raise Unauthenticated("the key is wrong, expired or revoked", presented=True)
        if key is None and needed not in self._anonymous:
            raise Unauthenticated("send a key: Authorization: Bearer ...", presented=False)
        if key is not None and needed not in key.scopes | self._anonymous:
            raise Forbidden(needed)
        return Admitted(ANONYMOUS if key is None else key.prefix, client, allowance)

    def _address(self, scope: HTTPScope) -> str:
        peer = scope["client"][0] if scope["client"] else None
        return client_of(peer, scope["headers"], self._limits.trusted)


class AuthorisedApp:
    """An ASGI application that only those reach who may.

    Args:
        app: the application within.
        gate: decides.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            ApiFault: it is not let in.
        """
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        try:
            admitted = self._gate.admit(scope)
        except (Unauthenticated, Forbidden) as exc:
            if not _asks_for_page(scope):
                raise
            state[REFUSAL] = exc
            admitted = Admitted(ANONYMOUS)
        state[CALLER], state[CLIENT] = admitted.caller, admitted.client
        if admitted.allowance is None:
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _telling(admitted.allowance, send))


def _asks_for_page(scope: HTTPScope) -> bool:
    """Whether a browser wants to show a page, on which a key can then be given: it sends none by itself."""
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
    return scope["method"] == "GET" and scope["path"] in PAGES and b"text/html" in accepted


def _telling(allowance: Allowance, send: Send) -> Send:
    """Adds to an answer how much its client has left."""
    headers = [(name.encode(), value.encode()) for name, value in allowance.headers().items()]

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return tell


def _bearer(values: list[bytes]) -> str:
    """The key of an Authorization header; empty, which is never a key, when there are two or another scheme."""
    scheme, _, key = values[0].decode("latin-1").partition(" ")
    return key.strip() if len(values) == 1 and scheme.lower() == _SCHEME else ""
