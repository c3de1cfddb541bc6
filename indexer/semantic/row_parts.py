"""Cuts a table, as PostgreSQL copies it out, into parts that stay the same while other rows come and go.

A backup that shares unchanged files with the one before needs files that do not change when rows elsewhere do. So a
part does not end after so many rows, but before a row whose position has a certain hash: where it ends depends on
nothing but that row, as in content-defined chunking (Muthitacharoen, Chen and Mazières, "A Low-bandwidth Network File
System", SOSP 2001).

The rows are in PostgreSQL's binary format of COPY (https://www.postgresql.org/docs/current/sql-copy.html, "Binary
Format"): a header, tuples of counted fields, and a trailer. Each part is a whole such file.
"""

import struct
import zlib
from typing import Final, Protocol

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
ROUTING: Final = "{table}.partition, {table}.record_offset"
"""What must be selected before the columns, and is taken off: the position that a row came from, which sorts them."""

ROWS: Final = 2_048
"""Rows of different positions in a part, on average."""

_COUNT: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")
_ROUTING: Final = struct.Struct(">iiiq")
"""Length and value of an integer, length and value of a bigint."""

_POSITION: Final = struct.Struct(">iq")


class PartSink(Protocol):
    """Takes the parts of a table, one after the other."""

    def begin_part(self) -> None:
        """A part begins."""
        ...

    def write(self, data: bytes) -> None:
        """More of the part that has begun."""
        ...

    def end_part(self) -> None:
        """That part is complete."""
        ...


class RowParts:
    """Takes what COPY gives, in pieces of any size, and gives parts.

    Args:
        sink: takes them.
        rows: of different positions in a part, on average.

    Attributes:
        rows: taken so far.
    """

    def __init__(self, sink: PartSink, *, rows: int = ROWS) -> None:
        self.rows = 0
        self._sink = sink
        self._rows_a_part = rows
        self._pending = b""
        self._begun = False
        self._ended = False
        self._open = False
        self._position = (-1, -1)

    def feed(self, data: bytes) -> None:
        """Take a piece.

        Raises:
            ValueError: this is no copy in binary format.
        """
        self._pending += data
        start = 0 if self._begun else self._skip_header()
        while self._begun and not self._ended and (end := self._tuple_end(start)):
            self._take(start, end)
            start = end
        self._pending = self._pending[start:]

    def finish(self) -> None:
        """End the last part; a table without rows has one without rows.

        Raises:
            ValueError: the copy is not complete.
        """
        if not self._ended or self._pending:
            raise ValueError("the copy of a table is cut short")
        if not self._open:
            self._begin()
        self._end()

    def _skip_header(self) -> int:
        if len(self._pending) < len(HEADER):
            return 0
        if not self._pending.startswith(HEADER):
            raise ValueError("not a copy in the binary format that is known here")
        self._begun = True
        return len(HEADER)

    def _tuple_end(self, start: int) -> int | None:
        """Where the tuple ends that begins there, or None as long as not all of it came."""
        data, at = self._pending, start + _COUNT.size
        if len(data) < at:
            return None
        (fields,) = _COUNT.unpack_from(data, start)
        if fields < 0:  # the trailer
            self._ended = True
            self._pending = data[:start]
            return None
        for _ in range(fields):
            if len(data) < at + _LENGTH.size:
                return None
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size + max(0, length)  # -1 is NULL
        return at if at <= len(data) else None

    def _take(self, start: int, end: int) -> None:
        (fields,) = _COUNT.unpack_from(self._pending, start)
        _, partition, _, offset = _ROUTING.unpack_from(self._pending, start + _COUNT.size)
        if (partition, offset) != self._position:
            self._position = (partition, offset)
            if self._open and zlib.crc32(_POSITION.pack(partition, offset)) % self._rows_a_part == 0:
                self._end()
            if not self._open:
                self._begin()
        self._sink.write(_COUNT.pack(fields - 2) + self._pending[start + _COUNT.size + _ROUTING.size : end])
        self.rows += 1

    def _begin(self) -> None:
        self._open = True
        self._sink.begin_part()
        self._sink.write(HEADER)

    def _end(self) -> None:
        self._open = False
        self._sink.write(TRAILER)
        self._sink.end_part()
