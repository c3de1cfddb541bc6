"""Watches what a program does to the files under a folder: each operation is told before and after it is done.

`pathlib`, `shutil` and `open` come down to a few functions of `os` and `io`, which are replaced for the length of a
block. Watched is what changes something: reads, locks and what numpy maps go by unseen.
"""

import contextlib
import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import msgspec


class Kind(StrEnum):
    """What is done."""

    CREATE = "create"
    WRITE = "write"
    SYNC = "sync"
    SYNC_DIRECTORY = "sync directory"
    RENAME = "rename"
    LINK = "link"
    REMOVE = "remove"
    MAKE_DIRECTORY = "make directory"
    REMOVE_DIRECTORY = "remove directory"


class Operation(msgspec.Struct, frozen=True):
    """One operation.

    Attributes:
        kind: what is done.
        path: to what; for a sync, the name that the file has now.
        target: the new name, of a rename or a link.
        offset: where a write begins.
        data: what it writes.
    """

    kind: Kind
    path: Path
    target: Path | None = None
    offset: int = 0
    data: bytes = b""


class Watcher(Protocol):
    """Is told what happens, one operation after the other, whichever threads they are from."""

    def before(self, operation: Operation) -> int | None:
        """Called before an operation.

        Returns:
            how many bytes of a write are written; None for all.

        Raises:
            OSError: the operation is not done, and fails with this.
        """
        ...

    def after(self, operation: Operation) -> None:
        """Called when it is done; a write that was cut has just the bytes that were written."""
        ...


@contextlib.contextmanager
def watched(root: Path, watcher: Watcher) -> Iterator[None]:
    """Tell a watcher of all operations below a folder, until the end of the block."""
    watching = _Watching(root, watcher)
    with contextlib.ExitStack() as stack:
        for module, name, replacement in watching.replacements():
            stack.enter_context(mock.patch.object(module, name, replacement))
        yield


class _Watching:
    def __init__(self, root: Path, watcher: Watcher) -> None:
        self._root = root.resolve()
        self._watcher = watcher
        self._lock = threading.RLock()
        self._open = io.open
        self._fsync = os.fsync

    def replacements(self) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
        yield io, "open", self.open
        yield os, "fsync", self.fsync
        for name, kind in (("rename", Kind.RENAME), ("replace", Kind.RENAME), ("link", Kind.LINK)):
            yield os, name, self.of_two(getattr(os, name), kind)
        for name, kind in (
            ("unlink", Kind.REMOVE),
            ("remove", Kind.REMOVE),
            ("mkdir", Kind.MAKE_DIRECTORY),
            ("rmdir", Kind.REMOVE_DIRECTORY),
        ):
            yield os, name, self.of_one(getattr(os, name), kind)

    def open(self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **options: Any) -> Any:
        path = None if isinstance(file, int) else self._watched_path(file, None)
        if path is None or not set(mode) & set("wxa+"):
            return self._open(file, mode, buffering, *args, **options)
        if "b" not in mode or "+" in mode or buffering != -1 or any(args) or any(options.values()):
            raise NotImplementedError(f"watching {path} opened as {mode!r}")
        with self._told(Operation(Kind.CREATE, path)):
            raw = _WatchedFile(path, mode.replace("b", ""), self)
        return io.BufferedWriter(raw)

    def fsync(self, descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        path = self._watched_path(Path(f"/proc/self/fd/{number}").readlink(), None)
        if path is None:
            self._fsync(number)
            return
        kind = Kind.SYNC_DIRECTORY if stat.S_ISDIR(os.fstat(number).st_mode) else Kind.SYNC
        with self._told(Operation(kind, path)):
            self._fsync(number)

    def of_one(self, real: Callable[..., None], kind: Kind) -> Callable[..., None]:
        def done(path: Any, *args: Any, dir_fd: int | None = None, **options: Any) -> None:
            found = self._watched_path(path, dir_fd)
            with self._told(Operation(kind, found)) if found else contextlib.nullcontext():
                real(path, *args, dir_fd=dir_fd, **options)

        return done

    def of_two(self, real: Callable[..., None], kind: Kind) -> Callable[..., None]:
        def done(source: Any, target: Any, **options: Any) -> None:
            paths = self._watched_path(source, None), self._watched_path(target, None)
            if paths == (None, None):
                real(source, target, **options)
                return
            first, second = paths
            if first is None or second is None:
                raise NotImplementedError(f"{kind} of {source} to {target}: only one of them is watched")
            with self._told(Operation(kind, first, second)):
                real(source, target, **options)

        return done

    def write(self, operation: Operation, really: Callable[[bytes], int | None]) -> int | None:
        with self._lock:
            part = self._watcher.before(operation)
            written = really(operation.data[:part])
            self._watcher.after(msgspec.structs.replace(operation, data=operation.data[:written]))
            return written

    @contextlib.contextmanager
    def _told(self, operation: Operation) -> Iterator[None]:
        with self._lock:
            self._watcher.before(operation)
            yield
            self._watcher.after(operation)

    def _watched_path(self, path: Any, dir_fd: int | None) -> Path | None:
        text = os.fsdecode(path)
        folder = Path.cwd() if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").readlink()
        # Names may be links themselves, which `resolve` would follow: only their folders are resolved.
        whole = folder / text
        whole = whole.parent.resolve() / whole.name
        return whole if self._root in whole.parents or whole == self._root else None


class _WatchedFile(io.FileIO):
    def __init__(self, path: Path, mode: str, watching: _Watching) -> None:
        super().__init__(os.fspath(path), mode)
        self._path = path
        self._watching = watching

    def write(self, data: Any) -> int | None:  # type: ignore[override] # typeshed has it positional
        operation = Operation(Kind.WRITE, self._path, offset=self.tell(), data=bytes(data))
        return self._watching.write(operation, super().write)
