"""The file of a segment: named sections of numbers, written once, mapped by any number of readers.

    section 0 | section 1 | ...        each begins at a multiple of 64 bytes
    table of contents                  msgpack: name, dtype, columns, offset and size of each section, and the CRC-32 of
                                       each page of 64 KiB before the table, the last of which may be shorter
    trailer, 20 bytes                  magic, format version, length and CRC-32 of the table of contents

The manifest keeps a file's size and the checksum of its table of contents, and the table keeps the checksum of every
page, so nothing in a file can change unnoticed. Opening reads the trailer and the table, and takes as long for a large
file as for a small one; a page of the sections is checked before anything is read from it for the first time, so that
no reader serves damage and no kernel runs on it. All numbers are little-endian.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.errors import GenerationUnusable
from indexer.segment.pages import OpenFile, Pages, PageSums, SegmentDamaged
from indexer.segment.section import Section

FORMAT_VERSION: Final = 3
"""Of the file's frame, and of the sections that all engines share; what the others mean is the engine's to version.

A new one makes new formats of all engines, whose generations then refuse the old software by name; so a version that is
not this one is damage.

1: sections, table of contents with a checksum of each section, trailer.
2: checksums of pages in the place of those of sections.
3: what documents are filtered by; blocks of postings under the name of their lists.
"""

MAGIC: Final = b"ESSEGMNT"

_TRAILER: Final = struct.Struct("<8sIII")
_ALIGNMENT: Final = 64
_DTYPES: Final = frozenset({"|u1", "<u4", "<u8", "<i4", "<i8"})

N = TypeVar("N", bound=np.generic)


class FileStamp(msgspec.Struct, frozen=True):
    """What the manifest remembers of a file.

    Attributes:
        size: in bytes.
        checksum: CRC-32; of a segment file's table of contents, of any other file's whole contents.
    """

    size: int
    checksum: int


class _Section(msgspec.Struct, frozen=True, array_like=True):
    name: str
    dtype: str
    columns: int
    offset: int
    size: int


class _Table(msgspec.Struct, frozen=True, array_like=True):
    sections: list[_Section]
    page_sums: bytes


class SectionWriter:
    """Takes the values of one section, piece by piece."""

    def __init__(self, dtype: np.dtype[Any], write: Callable[[bytes], None]) -> None:
        self._dtype = dtype
        self._write = write
        self.size = 0

    def write(self, values: npt.NDArray[Any] | bytes) -> None:
        """Append values; numbers are converted to the section's type, bytes are taken as they are."""
        data = values if isinstance(values, bytes) else np.ascontiguousarray(values, self._dtype).tobytes()
        self._write(data)
        self.size += len(data)


class SegmentFileBuilder:
    """Writes a segment file; an exception inside the `with` leaves a file that no manifest names.

    Args:
        path: of the file, which must not exist yet.
        on_write: called before each write; raises to stop.
    """

    def __init__(self, path: Path, *, on_write: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._on_write = on_write
        self._file = path.open("xb")
        self._sums = PageSums()
        self._sections: list[_Section] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @contextmanager
    def section(self, name: str, dtype: type[np.generic], *, columns: int = 1) -> Iterator[SectionWriter]:
        """Open the next section, to be filled piece by piece; only one is open at a time.

        Args:
            name: unique in the file.
            dtype: of the values.
            columns: width of a row, for a section that is read as a table.
        """
        self._write(b"\0" * (-self._file.tell() % _ALIGNMENT))
        kind = np.dtype(dtype).newbyteorder("<")
        offset, writer = self._file.tell(), SectionWriter(kind, self._write)
        yield writer
        self._sections.append(_Section(name, kind.str, columns, offset, writer.size))

    def add(self, name: str, values: npt.NDArray[Any]) -> None:
        """Write a section that is all in memory."""
        with self.section(name, values.dtype.type) as section:
            section.write(values)

    def finish(self) -> FileStamp:
        """Write the table of contents and make the file durable; its directory is the caller's to sync."""
        table = msgspec.msgpack.encode(_Table(self._sections, self._sums.finish()))
        checksum = zlib.crc32(table)
        self._file.write(table + _TRAILER.pack(MAGIC, FORMAT_VERSION, len(table), checksum))
        self._file.flush()
        os.fsync(self._file.fileno())
        return FileStamp(self._file.tell(), checksum)

    def _write(self, data: bytes) -> None:
        self._on_write()
        self._file.write(data)
        self._sums.add(data)


class SegmentFile:
    """A segment file, mapped; its arrays stay readable as long as somebody refers to them.

    Args:
        path: of the file.
        stamp: what the manifest says of it.

    Raises:
        FileNotFoundError: it is not there, perhaps because a newer manifest no longer names it.
        SegmentDamaged: it is not the file that the manifest means.
    """

    def __init__(self, path: Path, stamp: FileStamp) -> None:
        self.path = path
        self._stamp = stamp
        self._file = OpenFile(path)
        if self._file.size != stamp.size or stamp.size < _TRAILER.size:
            raise SegmentDamaged(path, f"has {self._file.size} bytes, not the {stamp.size} that were written")
        table, end = self._table()
        self._sections = {section.name: section for section in table.sections}
        for section in table.sections:
            self._check_shape(section, end)
        # No method of ours: a circle would keep the file open until a full collection, which may be hours away.
        self._pages = Pages(self._file, table.page_sums, end, partial(_names_between, tuple(table.sections)))
        self._map = mmap.mmap(self._file.descriptor, 0, access=mmap.ACCESS_READ)

    def section(self, name: str, dtype: type[N]) -> Section[N]:
        """A section, to be checked as far as it is read.

        Raises:
            GenerationUnusable: the file has no such section.
        """
        section = self._sections.get(name)
        if section is None or section.dtype != np.dtype(dtype).newbyteorder("<").str:
            raise GenerationUnusable(f"{self.path} has no section {name!r} of {np.dtype(dtype).name}")
        kind = np.dtype(dtype)
        values = np.frombuffer(self._map, kind, section.size // kind.itemsize, section.offset)
        rows = values.reshape(-1, section.columns) if section.columns > 1 else values
        return Section(self._pages, section.offset, rows)

    def array(self, name: str, dtype: type[N]) -> npt.NDArray[N]:
        """A section's values, all checked at once: for what is small.

        Raises:
            SegmentDamaged: naming what changed.
            GenerationUnusable: the file has no such section.
        """
        return self.section(name, dtype).whole()

    def verify(self) -> None:
        """Read all of the file and hold it against its checksums.

        Raises:
            SegmentDamaged: naming what changed.
        """
        for _ in self.checks():
            pass

    def checks(self) -> Iterator[None]:
        """As `verify`, in steps of a page: whoever iterates can do something else, or stop."""
        self._table()
        for page in range(len(self._pages)):
            yield
            self._pages.check(page)

    def _table(self) -> tuple[_Table, int]:
        """The table of contents, and the place where it begins."""
        end = self._stamp.size - _TRAILER.size
        magic, version, length, checksum = _TRAILER.unpack(self._file.read(end, self._stamp.size))
        if magic != MAGIC or version != FORMAT_VERSION:
            raise SegmentDamaged(self.path, f"is not a segment file of format {FORMAT_VERSION}")
        if length > end or checksum != self._stamp.checksum:
            raise SegmentDamaged(self.path, "has a damaged trailer")
        encoded = self._file.read(end - length, end)
        if zlib.crc32(encoded) != checksum:
            raise SegmentDamaged(self.path, "has a damaged table of contents")
        try:
            return msgspec.msgpack.decode(encoded, type=_Table), end - length
        except msgspec.DecodeError as exc:
            raise SegmentDamaged(self.path, f"has an unreadable table of contents: {exc}") from exc

    def _check_shape(self, section: _Section, end: int) -> None:
        whole = section.dtype in _DTYPES and section.columns > 0
        if not whole or section.size % (np.dtype(section.dtype).itemsize * section.columns):
            raise SegmentDamaged(self.path, f"section {section.name!r} is malformed")
        if section.offset < 0 or section.offset + section.size > end:
            raise SegmentDamaged(self.path, f"section {section.name!r} ends beyond the sections")


def _names_between(sections: Sequence[_Section], start: int, end: int) -> str:
    inside = (each for each in sections if each.offset < end and each.offset + each.size > start)
    return ", ".join(repr(each.name) for each in inside)
