"""A sample of recent searches, which a rebuild asks both generations when it is given no golden queries.

    <data>/queries/recent.ndjson    {"query": "circuit breaker"}, one a line, each query once, the newest last
    <data>/queries/recent.lock      held by whoever adds to it

The API's workers add to it, a rebuild reads it. What people search for is their business: the folder is its owner's
alone, and where the log is to mask queries, nothing is kept at all.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from indexer.durable import replace_file
from indexer.file_lock import HeldFile
from indexer.rebuild.options import GoldenQuery

KEPT_QUERIES: Final = 200

_OWNER_ONLY: Final = 0o700

_log = structlog.stdlib.get_logger(__name__)


class QuerySample:
    """The sample of one data directory. Every method blocks on the disk.

    Args:
        data_directory: of the system.
    """

    def __init__(self, data_directory: Path) -> None:
        self._directory = data_directory / "queries"
        self._path = self._directory / "recent.ndjson"

    def queries(self) -> list[GoldenQuery]:
        """The queries, the newest last; a line that cannot be read is passed over."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [query for line in lines if (query := _parsed(line)) is not None]

    def add(self, queries: Iterable[str]) -> None:
        """Add queries, the newest last; the oldest make room.

        Raises:
            OSError: the disk is full, or will not be written.
        """
        self._directory.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
        lock = HeldFile(self._directory / "recent.lock", os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
        try:
            recent = {each.query: None for each in self.queries()}
            for query in queries:
                recent.pop(query, None)
                recent[query] = None
            newest = list(recent)[-KEPT_QUERIES:]
            replace_file(self._path, b"".join(msgspec.json.encode({"query": each}) + b"\n" for each in newest))
        finally:
            lock.release()

    def forget(self) -> None:
        """Remove what was kept.

        Raises:
            OSError: it cannot be removed.
        """
        shutil.rmtree(self._directory, ignore_errors=True)  # other workers do so at the same time
        if self._directory.exists():
            raise OSError(errno.ENOTEMPTY, "is still there", str(self._directory))


def _parsed(line: bytes) -> GoldenQuery | None:
    try:
        return msgspec.json.decode(line, type=GoldenQuery)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        _log.warning("a line of the sample of queries cannot be read", error=repr(exc))
        return None
