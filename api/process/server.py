"""Runs the API: uvicorn with worker processes, chosen because it replaces a worker that dies and goes on.

This process answers nothing itself if it has workers, so it loads no engine; the one that workers are forked from does.
"""

import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from typing import Final

import structlog
import uvicorn

from api.access.keys import read_keys
from api.access.scopes import anonymous_scopes
from api.process.listening import BACKLOG, listening_socket
from api.process.serving import server_config
from api.process.workers import PATIENCE_SECONDS, supervise
from indexer.resources import limit_open_files
from streams.metrics import MULTIPROCESS_VARIABLE, shared_directory
from streams.settings import Settings, variable

KEEP_ALIVE_SECONDS: Final = 5
GRACE_SECONDS: Final = 8
"""For requests that run when the server is told to stop."""

_log = structlog.stdlib.get_logger(__name__)


def run(settings: Settings, *, factory: str = "api.process.worker:worker_app") -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish.

    Args:
        settings: of the server; its workers read their own, from the same environment.
        factory: import path of what makes a worker's application.

    Raises:
        SettingsError: the address cannot be listened on, the key file cannot be read, or the system allows fewer open
            files than the settings.
    """
    _check_access(settings)
    limit_open_files(settings.open_files_limit)  # of the workers too
    config = server_config(
        factory,
        factory=True,
        workers=settings.workers,
        loop="api.process.accepting:new_event_loop",
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=PATIENCE_SECONDS,
        backlog=BACKLOG,
    )
    with (
        listening_socket(settings.host, settings.port, setting="port") as listener,
        _metrics_directory(settings),
    ):
        if settings.workers > 1:
            supervise(config, listener, factory.partition(":")[0])
        else:
            _run_here(config, listener)


def _check_access(settings: Settings) -> None:
    """Find a broken key file before anything is served, and say when nobody could get in."""
    keys = read_keys(settings.keys_file).keys if settings.keys_file else ()
    if not keys and not anonymous_scopes(settings):
        _log.warning(
            "every request will be refused: there are no keys, and none may come without one",
            host=settings.host,
            mend=f"make a key with `embed-search keys create`, or set {variable('anonymous_scopes')}",
        )


def _run_here(config: uvicorn.Config, listener: socket.socket) -> None:
    # uvicorn raises the signal that stopped it once more, for whoever handled it before: we are done by then.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _metrics_directory(settings: Settings) -> Iterator[None]:
    """Several workers need a directory to share what they count; whoever started us may have named one."""
    if settings.workers == 1 or shared_directory() is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="embed-search-metrics-") as directory:
        os.environ[MULTIPROCESS_VARIABLE] = directory
        try:
            yield
        finally:
            del os.environ[MULTIPROCESS_VARIABLE]
