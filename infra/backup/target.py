"""Local indexes on their way back: copied into folders beside the generations, then put live one by one.

<root>/<index>/.restored     the generation while it is copied; removed by the next restore if a crash left it
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from indexer.durable import make_directory, sync_directory
from indexer.errors import GenerationUnusable, WriterLocked
from indexer.generation import Generation, forget_live, install_generation, live_generation
from indexer.registry import LOCAL_ENGINES, indexes_directory
from indexer.segment.lock import WriterLock
from infra.backup.errors import RestoreRefused
from infra.backup.manifest import LocalIndex
from infra.backup.store import BackupStore
from streams.settings import Settings

_STAGING: Final = ".restored"


class LocalTarget(msgspec.Struct, frozen=True):
    """Where an index goes.

    Attributes:
        root: of all indexes.
        index: its name.
        live: the generation that is there and will be replaced.
        unusable: whether there is one that cannot even be read.
    """

    root: Path
    index: str
    live: Generation | None
    unusable: bool

    @property
    def home(self) -> Path:
        """The folder of the index."""
        return self.root / self.index


def choose_target(settings: Settings, saved: LocalIndex, *, force: bool) -> LocalTarget:
    """Look whether an index may be put where the settings say.

    Raises:
        RestoreRefused: it is of another build than the settings; or there is an index, and no `force`.
    """
    root = indexes_directory(settings)
    wanted = LOCAL_ENGINES[saved.index].settings(settings)
    if saved.generation != wanted:
        raise RestoreRefused(
            f"index {saved.index} was built with {saved.generation}, but the settings now say {wanted}: set what it was"
            " built with, or leave it out and let it be built from the topic"
        )
    try:
        live, unusable = live_generation(root, saved.index), False
    except GenerationUnusable:
        live, unusable = None, True
    if (live or unusable) and not force:
        raise RestoreRefused(f"{root / saved.index} holds an index: --force replaces it")
    return LocalTarget(root, saved.index, live, unusable)


@contextlib.contextmanager
def writer_locked_out(target: LocalTarget) -> Iterator[None]:
    """Hold the lock of the index that is replaced, which an indexer would need.

    Raises:
        RestoreRefused: an indexer runs.
    """
    if target.live is None:
        yield
        return
    try:
        lock = WriterLock(target.live.directory, LOCAL_ENGINES[target.index].lock)
    except WriterLocked as exc:
        raise RestoreRefused(f"the indexer of {target.index} runs: stop it first") from exc
    except FileNotFoundError:  # it has lost even the folder of its lock, so nobody writes it
        yield
        return
    try:
        yield
    finally:
        lock.release()


def stage(store: BackupStore, saved: LocalIndex, target: LocalTarget, on_bytes: Callable[[int], None]) -> Generation:
    """Copy an index out of a backup into a folder where nothing looks for it, durably.

    Raises:
        BackupDamaged: naming the file that is.
    """
    directory = target.home / _STAGING
    make_directory(target.home)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    folders = {directory}
    for file in saved.files:
        path = directory / file.path
        path.parent.mkdir(exist_ok=True)
        folders.add(path.parent)
        with path.open("xb") as copy:
            for data in store.read_file(saved.index, file):
                copy.write(data)
                on_bytes(len(data))
            copy.flush()
            os.fsync(copy.fileno())
    for folder in (*folders, target.home):
        sync_directory(folder)
    return Generation(_STAGING, directory, saved.generation)


def install(staged: Generation, target: LocalTarget) -> Generation:
    """Put a staged index live, and remove what it replaces; its readers keep that until they let go.

    Raises:
        GenerationUnusable: an indexer has made an index meanwhile.
    """
    if target.unusable:
        forget_live(target.root, target.index)
    installed = install_generation(target.root, staged, over=target.live.name if target.live else None)
    if target.live is not None:
        shutil.rmtree(target.live.directory)
    return installed
