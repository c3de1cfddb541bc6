"""Files that survive a crash whole: written anew, synced, renamed into place; never modified where they lie.

A file that another process has mapped must not shrink or change under it (SIGBUS), and a rename is durable only
once its directory is synced.
"""

import os
from pathlib import Path


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write a new file and sync its contents; the caller syncs the directory once for all its files."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that a reader sees the old contents or the new ones, and a crash leaves either."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    write_file(temporary, data)
    temporary.replace(path)
    sync_directory(path.parent)


def make_directory(path: Path, *, mode: int = 0o777) -> None:
    """Make a directory that may be there already, and those above it that are missing, so that a crash leaves them.

    Args:
        path: the directory.
        mode: of the directory itself, as `Path.mkdir` takes it.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    for each in missing:
        sync_directory(each.parent)


def sync_file(path: Path) -> None:
    """Make the contents of a file durable that somebody else has written."""
    _sync(path, os.O_RDONLY)


def sync_directory(directory: Path) -> None:
    """Make creations, renames and removals in a directory durable."""
    _sync(directory, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
