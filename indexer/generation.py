"""Generations of the local indexes: complete indexes side by side, one of them live.

    <root>/<index>/live                 names the live generation; replaced atomically
    <root>/<index>/<generation>/        one complete index
    <root>/<index>/<generation>/generation.json

A generation is written under the settings it was created with, so that a change of settings means a new
generation and never a mixture.
"""

import fcntl
import os
import re
from pathlib import Path

import msgspec

from indexer.durable import replace_file, sync_directory
from indexer.errors import GenerationUnusable, WriterFailed

_NAME = re.compile(r"g[0-9]{6}")
_FIRST = "g000001"
_POINTER = "live"
_DESCRIPTION = "generation.json"


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


def live_generation(root: Path, index: str) -> Generation | None:
    """The live generation, or None before the first one was made.

    Raises:
        GenerationUnusable: the pointer names nothing that can be read.
    """
    try:
        name = (root / index / _POINTER).read_bytes().decode(errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise GenerationUnusable(f"{root / index / _POINTER} cannot be read: {exc}") from exc
    if not _NAME.fullmatch(name):
        raise GenerationUnusable(f"{root / index / _POINTER} does not name a generation")
    return _read(root / index / name)


def open_or_create_live(root: Path, settings: GenerationSettings) -> Generation:
    """The live generation, made and put live when there is none yet.

    Raises:
        GenerationUnusable: the live generation was built with other settings than these.
    """
    live = live_generation(root, settings.index) or _create_first(root, settings)
    if live.settings != settings:
        raise GenerationUnusable(
            f"index {settings.index}: generation {live.name} was built with {live.settings}, "
            f"but the settings now say {settings}; rebuild the index"
        )
    return live


def _create_first(root: Path, settings: GenerationSettings) -> Generation:
    """Make and promote the first generation, or take the one that another process made meanwhile."""
    home = root / settings.index
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for the moment of a few small files; closing lets go of it
        live = live_generation(root, settings.index)
        if live is None:
            live = create_generation(root, settings)
            promote(root, live)
        return live
    finally:
        os.close(descriptor)


def create_generation(root: Path, settings: GenerationSettings) -> Generation:
    """Make the next, empty generation; it is not live."""
    home = root / settings.index
    home.mkdir(parents=True, exist_ok=True)
    directory = home / _next_name(home)
    directory.mkdir()
    replace_file(directory / _DESCRIPTION, msgspec.json.encode(settings))
    sync_directory(home)
    return Generation(directory.name, directory, settings)


def promote(root: Path, generation: Generation) -> None:
    """Put a generation live, atomically."""
    replace_file(root / generation.settings.index / _POINTER, generation.name.encode())


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
        status = os.stat(root / index / _POINTER)  # noqa: PTH116 - the hot path of every query
    except FileNotFoundError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)


def _next_name(home: Path) -> str:
    names = sorted(entry.name for entry in home.iterdir() if _NAME.fullmatch(entry.name))
    return f"g{int(names[-1][1:]) + 1:06d}" if names else _FIRST


def _read(directory: Path) -> Generation:
    try:
        settings = msgspec.json.decode((directory / _DESCRIPTION).read_bytes(), type=GenerationSettings)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise GenerationUnusable(f"{directory / _DESCRIPTION} cannot be read: {exc}") from exc
    return Generation(directory.name, directory, settings)
