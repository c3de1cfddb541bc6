"""Who did what to the system: a line in the log for each admin action, those that were refused included.

It is written whatever the level of the log is.
"""

from typing import Final

import structlog
from litestar.types import HTTPScope

ADMIN_PATHS: Final = "/admin/"
UNKNOWN: Final = "unknown"

_CHANGES_NOTHING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_log = structlog.stdlib.get_logger(__name__)


def audit(scope: HTTPScope, caller: str, status: int) -> None:
    """Write down a request that has ended, if it was meant to change something.

    Args:
        scope: of the request.
        caller: prefix of its key, `anonymous`, or `UNKNOWN` when it had no good key.
        status: of the answer.
    """
    if scope["method"] in _CHANGES_NOTHING or not scope["path"].startswith(ADMIN_PATHS):
        return
    address = scope["client"][0] if scope["client"] else UNKNOWN
    _log.info("admin action", caller=caller, address=address, method=scope["method"], path=scope["path"], status=status)
