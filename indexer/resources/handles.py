"""File handles: connections, index files and pipes all take them, and a process that has none left fails anywhere.

They are counted, since neither the highest descriptor nor the next one tells their number: what is closed leaves gaps.
Linux tells it as the size of a folder (since 6.2); where it does not, the folder is listed.
"""

import errno
import resource
from pathlib import Path
from typing import Final

from indexer.errors import TooManyOpenFiles
from streams.errors import SettingsError
from streams.settings import variable

RESERVE: Final = 64
"""Handles that are kept for work that runs: index files of a new snapshot, connections to Kafka and PostgreSQL."""

_HANDLES: Final = Path("/proc/self/fd")


class FileHandlePool:
    """The file handles of this process.

    Attributes:
        limit: how many there may be.
        for_new_work: how many may be in use for new work to begin; the rest is the reserve.
    """

    def __init__(self) -> None:
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.for_new_work = self.limit - min(RESERVE, self.limit // 4)

    def used(self) -> int:
        """How many are in use."""
        return _open_handles(self.limit)

    def admit(self) -> None:
        """Let work begin.

        Raises:
            TooManyOpenFiles: only the reserve is left.
        """
        if self.used() >= self.for_new_work:
            raise TooManyOpenFiles(f"all {self.for_new_work} of the {self.limit} file handles for new work are in use")

    def admits_connection(self, descriptor: int) -> bool:
        """Whether a connection that got this descriptor may stay, if only to be told that nothing can be done now."""
        return descriptor < (self.for_new_work + self.limit) // 2


def limit_open_files(setting: int | None) -> None:
    """Set this process's own limit, and the limit of the processes that it starts.

    Args:
        setting: how many file handles; None leaves the limit as it is.

    Raises:
        SettingsError: the system allows fewer.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if setting is None:
        return
    if setting > hard:
        raise SettingsError(f"{variable('open_files_limit')}: {setting} is more than the {hard} that the system allows")
    resource.setrlimit(resource.RLIMIT_NOFILE, (setting, hard))


def _open_handles(limit: int) -> int:
    if size := _HANDLES.stat().st_size:
        return size
    try:
        return sum(1 for _ in _HANDLES.iterdir()) - 1
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            return limit
        raise
