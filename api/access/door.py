"""The layer that turns searches away at little cost, while nearly each one that came further would be refused there.

With many times as many searches as can be answered, most of the work is to refuse them: within the framework that takes
several times what it takes here, and the answers of others pay for it. Nothing of a request is read here but its
address, so a search that would wait for a token is turned away like any other.
"""

from collections.abc import Callable
from typing import Final

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from api.access.admission import Bulkhead
from api.errors import Overloaded

SEARCHES: Final = frozenset({"/search", "/search/stream"})
"""The addresses of searches, which are the names of their routes too."""


class Door:
    """An ASGI application that no search reaches while more come than can be answered.

    Args:
        app: the application within.
        searches: what lets them run; None before there is any.
    """

    def __init__(self, app: ASGIApp, searches: Callable[[], Bulkhead | None]) -> None:
        self._app = app
        self._searches = searches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection.

        Raises:
            Overloaded: it is a search, and there are too many.
        """
        if scope["type"] == ScopeType.HTTP and scope["path"] in SEARCHES:
            searches = self._searches()
            try:
                if searches is not None:
                    searches.refuse_if_overrun()
            except Overloaded:
                scope["path_template"] = scope["path"]  # by which it is counted; the framework would say the same
                raise
        await self._app(scope, receive, send)
