"""Generations of the local indexes: complete indexes side by side, one of them live.

    <root>/<index>/live                 names the live generation, and the one before it; replaced atomically
    <root>/<index>/<generation>/        one complete index
    <root>/<index>/<generation>/generation.json

A generation is written under the settings it was created with, so that a change of settings means a new
generation and never a mixture. How one comes to be, and when it goes again, is told in `indexer.rebuild`.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from indexer.durable import make_directory, replace_file, sync_directory
from indexer.errors import GenerationUnusable, WriterFailed
from indexer.file_lock import HeldFile

_NAME: Final = re.compile(r"g[0-9]{6}")
_FIRST: Final = "g000001"
_POINTER: Final = "live"
_DESCRIPTION: Final = "generation.json"
_DROPPED: Final = ".dropped-"
_LINES: Final = re.compile(r"(?P<live>g[0-9]{6})(\nprevious (?P<previous>g[0-9]{6}) (?P<swapped_at>[0-9]{1,12}))?")


class GenerationSettings(msgspec.Struct, frozen=True):
    """What a generation was built with, and cannot change without being built anew.

    Attributes:
        index: the index's name.
        format_version: of the engine's files.
        analyzer: name of the text analysis, where the engine has one.
    """

    index: str
    format_version: int
    analyzer: str = ""


class Generation(msgspec.Struct, frozen=True):
    """One generation on disk."""

    name: str
    directory: Path
    settings: GenerationSettings

    @property
    def created_at(self) -> float:
        """When it was begun, seconds since the epoch: its description is written once, before anything else."""
        return (self.directory / _DESCRIPTION).stat().st_mtime


class Pointer(msgspec.Struct, frozen=True):
    """Which generation of an index is live, and which one was before it.

    Attributes:
        live: name of the live generation.
        previous: name of the one before it, to which one can go back; None when there is none.
        swapped_at: when the live one was put in its place, seconds since the epoch; 0 for the first.
    """

    live: str
    previous: str | None = None
    swapped_at: int = 0


def is_generation_name(name: str) -> bool:
    """Whether a generation may be called so; it is then also safe as the name of a folder or a table."""
    return _NAME.fullmatch(name) is not None


def read_pointer(root: Path, index: str) -> Pointer | None:
    """The pointer of an index, or None before its first generation was made.

    Raises:
        GenerationUnusable: it cannot be read, or does not name a generation.
    """
    path = root / index / _POINTER
    try:
        text = path.read_bytes().decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise GenerationUnusable(f"{path} cannot be read: {exc}") from exc
    named = _LINES.fullmatch(text)
    if named is None:
        raise GenerationUnusable(f"{path} does not name a generation")
    return Pointer(named["live"], named["previous"], int(named["swapped_at"] or 0))


def live_generation(root: Path, index: str) -> Generation | None:
    """The live generation, or None before the first one was made.

    Raises:
        GenerationUnusable: the pointer names nothing that can be read.
    """
    pointer = read_pointer(root, index)
    return None if pointer is None else read_generation(root, index, pointer.live)


def open_or_create_live(root: Path, settings: GenerationSettings) -> Generation:
    """The live generation, made and put live when there is none yet.

    A live generation goes on under the settings that it was built with; those of the system are for the next one.

    Raises:
        GenerationUnusable: the live generation is of another format than these settings name.
    """
    live = live_generation(root, settings.index) or _create_first(root, settings)
    check_format(live, settings)
    return live


def check_format(generation: Generation, settings: GenerationSettings) -> None:
    """See whether this version can write a generation.

    Raises:
        GenerationUnusable: it is of another format than these settings name.
    """
    built, ours = generation.settings.format_version, settings.format_version
    if built != ours:
        raise GenerationUnusable(
            f"index {settings.index}: generation {generation.name} was built in format {built}, "
            f"and this version writes {ours}; rebuild the index"
        )


def _create_first(root: Path, settings: GenerationSettings) -> Generation:
    """Make and promote the first generation, or take the one that another process made meanwhile."""
    with changing(root, settings.index):
        return live_generation(root, settings.index) or _begin(root, settings)


@contextmanager
def changing(root: Path, index: str) -> Iterator[None]:
    """Held by whoever changes which generations an index has; for the moment of a few small files."""
    home = root / index
    make_directory(home)
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # closing lets go of it
        yield
    finally:
        os.close(descriptor)


def create_generation(root: Path, settings: GenerationSettings) -> Generation:
    """Make the next, empty generation; it is not live."""
    home = root / settings.index
    make_directory(home)
    directory = home / next_name(generation_names(root, settings.index))
    directory.mkdir()
    describe(directory, settings)
    sync_directory(home)
    return Generation(directory.name, directory, settings)


def describe(directory: Path, settings: GenerationSettings) -> None:
    """Say in a folder what the generation in it was built with."""
    replace_file(directory / _DESCRIPTION, msgspec.json.encode(settings))


def install_generation(root: Path, staged: Generation, *, over: str | None) -> Generation:
    """Put a complete generation from a folder beside the others live, in one rename of the pointer, and no way back.

    Args:
        root: of all indexes.
        staged: the generation; its folder lies in that of its index, with all that is in it synced, and is renamed.
        over: name of the generation that is live, whose writer lock the caller holds; None while there is none.

    Raises:
        GenerationUnusable: another generation was put live meanwhile.
    """
    index = staged.settings.index
    home = root / index
    with changing(root, index):
        live = live_generation(root, index)
        if (live.name if live else None) != over:
            raise GenerationUnusable(f"{home / _POINTER} was changed by another process; stop the indexer of {index}")
        directory = home / next_name(generation_names(root, index))
        staged.directory.rename(directory)
        sync_directory(home)
        _point(root, index, Pointer(directory.name))
        return Generation(directory.name, directory, staged.settings)


def forget_live(root: Path, index: str) -> None:
    """Remove the pointer of an index, one that names nothing usable: from here on there is no live generation."""
    (root / index / _POINTER).unlink(missing_ok=True)
    sync_directory(root / index)


def promote(root: Path, generation: Generation) -> None:
    """Put a generation live, atomically; the one that was live becomes the previous one."""
    index = generation.settings.index
    pointer = None
    with suppress(GenerationUnusable):  # a damaged pointer is mended by this
        pointer = read_pointer(root, index)
    if pointer is None or pointer.live != generation.name:
        _point(root, index, Pointer(generation.name, pointer.live if pointer else None, int(time.time())))


def pointer_is_sound(root: Path, index: str) -> bool:
    """Whether the pointer names a generation that is there; it is sound as well while there is none yet."""
    try:
        pointer = read_pointer(root, index)
    except GenerationUnusable:
        return False
    return pointer is None or (root / index / pointer.live).is_dir()


def mend_pointer(root: Path, settings: GenerationSettings, sound: Sequence[str]) -> str:
    """Put a generation live where nothing tells any more which one is; to be called under `changing`.

    Args:
        root: of all indexes.
        settings: of a generation to begin with, where none is left.
        sound: generations that may go live, oldest first; of two, which had been live, nobody knows, but both were fed.

    Returns:
        the name of the one that is live now.
    """
    if not sound:
        return _begin(root, settings).name
    previous = sound[-2] if len(sound) > 1 else None
    _point(root, settings.index, Pointer(sound[-1], previous, int(time.time())))
    return sound[-1]


def begin_anew(root: Path, settings: GenerationSettings) -> Generation:
    """Put a new, empty generation live; nobody can go back to those that were there."""
    with changing(root, settings.index):
        return _begin(root, settings)


def _begin(root: Path, settings: GenerationSettings) -> Generation:
    begun = create_generation(root, settings)
    _point(root, settings.index, Pointer(begun.name))
    return begun


def generation_names(root: Path, index: str) -> list[str]:
    """All generations on disk, oldest first, also such as a crash left without a description."""
    try:
        return sorted(entry.name for entry in (root / index).iterdir() if _NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def forget_previous(root: Path, index: str) -> None:
    """Give up the way back; the live generation stays."""
    pointer = read_pointer(root, index)
    if pointer is not None and pointer.previous is not None:
        _point(root, index, Pointer(pointer.live))


def _point(root: Path, index: str, pointer: Pointer) -> None:
    lines = [pointer.live]
    if pointer.previous is not None:
        lines.append(f"previous {pointer.previous} {pointer.swapped_at}")
    replace_file(root / index / _POINTER, "\n".join(lines).encode())


def check_present(generation: Generation) -> None:
    """See whether a generation that is written to is still on disk, with the pointer that makes its index found.

    A writer has its files open and writes nothing for as long as no document comes: it would not notice, and searches
    would find no index.

    Raises:
        WriterFailed: somebody removed it.
    """
    for path in (generation.directory / _DESCRIPTION, generation.directory.parent / _POINTER):
        if not path.exists():
            raise WriterFailed(f"{path} is gone")


def live_stamp(root: Path, index: str) -> tuple[int, int]:
    """Changes whenever another generation is put live; (0, 0) before the first. One `stat`, cheap enough per query."""
    try:
        status = os.stat(f"{root}/{index}/{_POINTER}")  # noqa: PTH116 - the hot path of every query
    except FileNotFoundError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)


def next_name(names: Iterable[str]) -> str:
    """The name of the generation that follows all of these."""
    newest = max(names, default=None)
    return _FIRST if newest is None else f"g{int(newest[1:]) + 1:06d}"


def read_generation(root: Path, index: str, name: str) -> Generation:
    """A generation by its name, live or not.

    Raises:
        GenerationUnusable: it is not there, or its description cannot be read.
    """
    directory = root / index / name
    try:
        settings = msgspec.json.decode((directory / _DESCRIPTION).read_bytes(), type=GenerationSettings)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise GenerationUnusable(f"{directory / _DESCRIPTION} cannot be read: {exc}") from exc
    return Generation(directory.name, directory, settings)


class GenerationHold(HeldFile):
    """Keeps a generation from being removed, from construction until `release`, or the end of the process.

    Args:
        generation: to read or write.

    Raises:
        GenerationUnusable: it was removed.
    """

    def __init__(self, generation: Generation) -> None:
        path = generation.directory / _DESCRIPTION
        try:
            super().__init__(path, os.O_RDONLY, fcntl.LOCK_SH)
            if not path.exists():  # removed between the two
                self.release()
                raise FileNotFoundError(path)
        except OSError as exc:
            raise GenerationUnusable(f"generation {generation.directory} was removed: {exc}") from exc


def remove_generation(root: Path, index: str, name: str) -> bool:
    """Remove a generation, unless somebody holds it; to be called under `changing`.

    Returns:
        whether it is gone.
    """
    home = root / index
    directory, dropped = home / name, home / f"{_DROPPED}{name}"
    if directory.is_dir():
        if not _is_free(directory / _DESCRIPTION):
            return False
        shutil.rmtree(dropped, ignore_errors=True)
        directory.rename(dropped)  # gone at once for everybody else, whatever happens to this process
        sync_directory(home)
    for left in home.glob(f"{_DROPPED}*"):
        shutil.rmtree(left, ignore_errors=True)
    return True


def _is_free(path: Path) -> bool:
    try:
        HeldFile(path, os.O_RDONLY, fcntl.LOCK_EX | fcntl.LOCK_NB).release()
    except FileNotFoundError:  # a generation that a crash left half made
        return True
    except BlockingIOError:
        return False
    return True
