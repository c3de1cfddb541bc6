"""What each request needs: the one table from method and path to scope.

What is not in the table needs `admin`, so that a route that somebody forgot to list is shut, not open.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address
from typing import Final

from streams.settings import Settings


class Scope(StrEnum):
    """What a key, or whoever comes without one, may do."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


ALL_SCOPES: Final = frozenset(Scope)

OPEN_PATHS: Final = frozenset({"/livez", "/readyz", "/startupz"})
"""Probes, which whatever starts and stops containers asks without a key; they tell nothing but yes or no."""

PAGES: Final = frozenset({"/", "/admin"})
"""Shown to whoever may not use them as well, since there is nothing in them but a place for the key."""

_PAGE_FILES: Final = re.compile(r"/pages/[^/]+")
"""What the pages are made of: the same files in every system, which a browser asks for without a key."""

_READS: Final[Mapping[str, Scope]] = {"GET": Scope.READ, "HEAD": Scope.READ}
_WRITES_ONE: Final[Mapping[str, Scope]] = {"PUT": Scope.WRITE, "DELETE": Scope.WRITE}

_SCOPES: Final[Mapping[str, Mapping[str, Scope]]] = {
    "/": _READS,
    "/search": {**_READS, "POST": Scope.READ},
    "/search/stream": _READS,
    "/documents": {"POST": Scope.WRITE},
    "/health": _READS,
    "/metrics": _READS,
    "/openapi.json": _READS,
    "/docs": _READS,
    # These two name the broker, which only those who publish need to know.
    "/system": {"GET": Scope.WRITE},
    "/asyncapi.json": {"GET": Scope.WRITE},
}

_DOCUMENT_PREFIX: Final = "/documents/"


def required_scope(method: str, path: str) -> Scope | None:
    """The scope that a request needs; None when it needs none.

    Args:
        method: of HTTP, in capitals.
        path: percent-decoded, as the framework sees it.
    """
    if path in OPEN_PATHS or (method in _READS and _PAGE_FILES.fullmatch(path)):
        return None
    methods = _SCOPES.get(path)
    if methods is None and path.startswith(_DOCUMENT_PREFIX):
        methods = {**_READS, **_WRITES_ONE}
    return (methods or {}).get(method, Scope.ADMIN)


def anonymous_scopes(settings: Settings) -> frozenset[Scope]:
    """What needs no key: as set, else everything where only this machine can connect, and nothing elsewhere."""
    named = settings.anonymous_scopes or ("all" if is_loopback(settings.host) else "none")
    if named == "all":
        return ALL_SCOPES
    return frozenset() if named == "none" else frozenset(map(Scope, named.split(",")))


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only; of names, `localhost` alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
