"""What operators order the breakers to do, in files that every worker reads.

A breaker's state belongs to one worker process, which judges by the calls it made itself. An order must hold for all
of them, and outlive them, so it is a small file for each method under the data directory.
"""

from pathlib import Path
from typing import Literal

import msgspec
import structlog

from indexer.durable import make_directory, replace_file

Order = Literal["open", "reset"]

_Stamp = tuple[int, int]

_log = structlog.stdlib.get_logger(__name__)


class _Written(msgspec.Struct, frozen=True):
    order: Order


class BreakerOrders:
    """The orders for the breaker of one method.

    Args:
        directory: of all methods' orders; made with the first order.
        method: the method's name.
    """

    def __init__(self, directory: Path, method: str) -> None:
        self._path = directory / f"{method}.json"
        self._seen: _Stamp | None = None

    def give(self, order: Order) -> None:
        """Write an order; blocks on the disk."""
        make_directory(self._path.parent)
        replace_file(self._path, msgspec.json.encode(_Written(order)))

    def take(self) -> Order | None:
        """The order, if it was given since the last call; of this or an earlier process."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return None
        self._seen = stamp
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Written).order
        except (OSError, msgspec.DecodeError) as exc:
            _log.warning("breaker order cannot be read", path=str(self._path), error=repr(exc))
            return None

    def _stamp(self) -> _Stamp | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino
