"""What every HTTP server of this system has in common, whatever it serves."""

from typing import Any

import uvicorn

from api.process.protocol import TimedProtocol


def server_config(app: Any, **own: Any) -> uvicorn.Config:  # noqa: ANN401 - as uvicorn takes them
    """A configuration of uvicorn: it cuts slow clients, tells nobody what it is, and believes no header of a proxy.

    Args:
        app: application, or the import path of what makes it.
        own: what else the server wants.
    """
    return uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="none",
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_config=None,
        **own,
    )
