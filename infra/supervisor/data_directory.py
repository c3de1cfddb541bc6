"""The directory that everything of one system lives under: ours alone, writable, and with room to work."""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.supervisor.file_lock import LockHeldError, locked
from infra.supervisor.service import StartError

LEAST_FREE = 1 << 30

_OPTION = "--data-dir"


class DataDirectory:
    """Paths under a data directory; see `open_data_directory`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.kafka = self.root / "kafka"
        self.postgres = self.root / "postgres"
        self.indexes = self.root / "indexes"
        self.logs = self.root / "logs"


@contextlib.contextmanager
def open_data_directory(root: Path, *, least_free: int = LEAST_FREE) -> Iterator[DataDirectory]:
    """Make the directory when missing, check it, and hold it for as long as the block.

    Args:
        root: the directory.
        least_free: bytes that must be free on its disk.

    Raises:
        StartError: it cannot be written, its disk is nearly full, or another process uses it; the message says what
            to do.
    """
    directory = DataDirectory(root)
    try:
        directory.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory.root):
            pass
    except OSError as exc:
        raise StartError(_complaint(directory.root, exc)) from exc
    _require_space(directory.root, least_free)
    try:
        with locked(directory.root / "lock"):
            yield directory
    except LockHeldError as exc:
        raise StartError(
            f"{directory.root} is in use by process {exc.holder or 'unknown'}: stop it first, "
            f"or choose another directory with {_OPTION}"
        ) from exc


def explain(error: OSError, directory: Path) -> str:
    """One line on an error of the file system under a directory, with what to do where we know."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"the disk of {directory} is full: free some space, or choose another directory with {_OPTION}"
    return str(error)


def _complaint(root: Path, error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return explain(error, root)
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        return f"{root} is not a directory: choose another with {_OPTION}"
    return f"cannot write in {root} ({error.strerror}): choose another directory with {_OPTION}"


def _require_space(root: Path, least_free: int) -> None:
    free = shutil.disk_usage(root).free
    if free < least_free:
        raise StartError(
            f"only {free >> 20} MB are free on the disk of {root} and at least {least_free >> 20} MB are needed: "
            f"free some space, or choose another directory with {_OPTION}"
        )
