"""The layer that turns searches away at little cost, while those that came further would be refused there.

With many times as many searches as can be answered, most of the work is to refuse them: within the framework that takes
several times what it takes here, and the answers of others pay for it. Nothing of a request is read here but its
address and whose it is: so one with more time than usual, or one that would wait for a token, is turned away like any
other.
"""

from collections.abc import Callable
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from api.access.admission import NEWEST_QUEUE_SHARE, QUEUE_SHARE
from api.access.authorised import CLIENT
from api.errors import Overloaded

SEARCHES: Final = frozenset({"/search", "/search/stream"})
"""The addresses of searches, which are the names of their routes too."""


class Door:
    """An ASGI application that no search reaches while more come than can be answered.

    Args:
        app: the application within.
        refuse_search: raises `Overloaded` if a search of a client would be refused now that waits for a share of the
            usual time.
    """

    def __init__(self, app: ASGIApp, refuse_search: Callable[[str, float], None]) -> None:
        self._app = app
        self._refuse_search = refuse_search

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            Overloaded: it is a search, and there are too many.
        """
        if scope["type"] == ScopeType.HTTP and scope["path"] in SEARCHES:
            try:
                share = NEWEST_QUEUE_SHARE if _asks_for_newest(scope) else QUEUE_SHARE
                self._refuse_search(scope["state"][CLIENT], share)
            except Overloaded:
                scope["path_template"] = scope["path"]  # by which it is counted; the framework would say the same
                raise
        await self._app(scope, receive, send)


def _asks_for_newest(scope: HTTPScope) -> bool:
    """Whether a search by a link has no query."""
    parameters = scope["query_string"].split(b"&")
    return scope["method"] == "GET" and not any(each.startswith(b"q=") for each in parameters)
