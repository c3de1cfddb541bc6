"""The layer that lets requests in: around the framework, so that no route, and no error of it, is outside.

A key comes as `Authorization: Bearer prefix.secret` (RFC 6750) and in no other way: addresses end up in logs.
"""

from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Send
from litestar.types import Scope as AsgiScope

from api.errors import Forbidden, Unauthenticated
from api.keys import KeyRing
from api.scopes import Scope, required_scope

CALLER: Final = "caller"
"""Where a request's state holds the prefix of the key it came with, or `anonymous`."""

ANONYMOUS: Final = "anonymous"

_SCHEME: Final = "bearer"


class Gate:
    """Decides who may do what.

    Args:
        keys: those that hold.
        anonymous: what needs no key.
    """

    def __init__(self, keys: KeyRing, anonymous: frozenset[Scope]) -> None:
        self._keys = keys
        self._anonymous = anonymous

    def admit(self, scope: HTTPScope) -> str:
        """Let a request in, and say who it is from.

        A key that is wrong is refused even where none is needed: its owner believes that it works.

        Raises:
            Unauthenticated: it has no key and needs one, or the key is wrong.
            Forbidden: its key is good, but not for this.
        """
        needed = required_scope(scope["method"], scope["path"])
        presented = [value for name, value in scope["headers"] if name == b"authorization"]
        if needed is None:
            return ANONYMOUS
        if not presented:
            if needed not in self._anonymous:
                raise Unauthenticated("send a key: Authorization: Bearer ...", presented=False)
            return ANONYMOUS
        key = self._keys.find(_bearer(presented))
        if key is None:
            raise Unauthenticated("the key is wrong, expired or revoked", presented=True)
        if needed not in key.scopes | self._anonymous:
            raise Forbidden(needed)
        return key.prefix


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
        if scope["type"] == ScopeType.HTTP:
            scope.setdefault("state", {})[CALLER] = self._gate.admit(scope)
        await self._app(scope, receive, send)


def _bearer(values: list[bytes]) -> str:
    """The key of an Authorization header; empty, which is never a key, when there are two or another scheme."""
    scheme, _, key = values[0].decode("latin-1").partition(" ")
    return key.strip() if len(values) == 1 and scheme.lower() == _SCHEME else ""
