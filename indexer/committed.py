"""Which files one commit of a local index consists of, and how to keep them while its writer goes on."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from indexer.errors import BackendUnavailable, GenerationUnusable
from indexer.generation import Generation, describe, live_generation

ATTEMPTS: Final = 100
"""Commits that may overtake a pin. Links take milliseconds, so more means that files are copied, and too slowly."""

_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


class CommittedFiles(msgspec.Struct, frozen=True):
    """The files of one commit, by their paths in the generation's folder.

    Attributes:
        replaced: contents of the small files that the next commit replaces.
        immutable: files that are never written again, only removed once no commit needs them.
    """

    replaced: Mapping[str, bytes]
    immutable: tuple[str, ...]


ListCommitted = Callable[[Generation], CommittedFiles]
"""Lists the newest commit of a generation. Raises FileNotFoundError where nothing was committed yet."""


def pin_live(root: Path, index: str, list_committed: ListCommitted, directory: Path) -> Generation:
    """Make a folder that holds one commit of the live generation, which no writer changes or removes.

    What is immutable is linked, so a pin is made in an instant and takes no room; where the file system has no hard
    links, or the folder lies on another one, it is copied. A file that is gone means that a newer commit is there: then
    that is pinned.

    Args:
        root: of all indexes.
        index: its name.
        list_committed: as the engine has it.
        directory: to be made, best on the file system of the index.

    Raises:
        BackendUnavailable: the index was not built yet, or changes faster than it can be copied.
        GenerationUnusable: a file of its newest commit is gone.
    """
    for _ in range(ATTEMPTS):
        live = live_generation(root, index)
        if live is None:
            break
        committed = _list(list_committed, live)
        if committed is None:
            break
        try:
            return _pin(live, committed, directory)
        except FileNotFoundError as exc:
            shutil.rmtree(directory)
            if live_generation(root, index) == live and _list(list_committed, live) == committed:
                raise GenerationUnusable(f"{exc.filename} is gone; rebuild the index") from exc
    else:
        raise BackendUnavailable(f"index {index} changes faster than it can be copied")
    raise BackendUnavailable(f"index {index} was not built yet")


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that is never written again another name, or where that cannot be, make a copy of it."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)


def _list(list_committed: ListCommitted, generation: Generation) -> CommittedFiles | None:
    try:
        return list_committed(generation)
    except FileNotFoundError:
        return None


def _pin(generation: Generation, committed: CommittedFiles, directory: Path) -> Generation:
    directory.mkdir(parents=True)
    describe(directory, generation.settings)
    for name in committed.immutable:
        target = directory / name
        target.parent.mkdir(exist_ok=True)
        link_or_copy(generation.directory / name, target)
    for name, data in committed.replaced.items():
        target = directory / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
    return Generation(generation.name, directory, generation.settings)
