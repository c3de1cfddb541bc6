"""Keeps a service's output in a file of bounded size, and its last lines at hand for when it dies."""

from collections import deque
from pathlib import Path
from typing import BinaryIO

_LONGEST_LINE = 400


class LogFile:
    """A log that begins a new file at a size limit and keeps a few old ones as NAME.1, NAME.2...

    Args:
        path: the current file.
        limit: bytes after which it is put aside.
        kept: how many old files are kept.
        tail_lines: how many last lines `tail` gives.
    """

    def __init__(self, path: Path, *, limit: int = 10 << 20, kept: int = 3, tail_lines: int = 20) -> None:
        self._path = path
        self._limit = limit
        self._kept = kept
        self._tail: deque[bytes] = deque(maxlen=tail_lines)
        self._unfinished = b""
        self._file: BinaryIO | None = None

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines since `forget`."""
        lines = [*self._tail, self._unfinished] if self._unfinished else self._tail
        return tuple(line.decode(errors="replace") for line in lines)

    def remember(self, chunk: bytes) -> None:
        """Take a piece of output into the tail."""
        *lines, unfinished = (self._unfinished + chunk).split(b"\n")
        self._tail.extend(line[:_LONGEST_LINE] for line in lines)
        self._unfinished = unfinished[:_LONGEST_LINE]

    def forget(self) -> None:
        """Begin the tail anew: a new process speaks from here on."""
        self._tail.clear()
        self._unfinished = b""

    def write(self, chunk: bytes) -> None:
        """Append a piece of output to the file.

        Raises:
            OSError: the disk is full, or the directory is gone.
        """
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        if self._file.tell() + len(chunk) > self._limit:
            self._file.close()
            self._put_aside()
            self._file = self._path.open("ab", buffering=0)
        self._file.write(chunk)

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._file:
            self._file.close()
            self._file = None

    def _put_aside(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
