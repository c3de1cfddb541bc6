"""The file of a segment: named sections of numbers, written once, mapped by any number of readers.

    section 0 | section 1 | ...        each begins at a multiple of 64 bytes
    table of contents                  msgpack: name, dtype, columns, offset, size, CRC-32 of each section
    trailer, 20 bytes                  magic, format version, length and CRC-32 of the table of contents

The manifest keeps a file's size and the checksum of its table of contents, and the table keeps the checksum of every
section, so nothing in a file can change unnoticed once `verify` has read it all. Opening reads the trailer, the table
and the small sections only: it takes as long for a large file as for a small one. All numbers are little-endian.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.errors import GenerationUnusable

FORMAT_VERSION: Final = 1
"""Of the file's frame; what its sections mean is the engine's to version.

1: sections, table of contents, trailer. A new one makes new formats of all engines, whose generations then refuse the
old software by name; so a version that is not this one is damage.
"""

MAGIC: Final = b"ESSEGMNT"

_TRAILER: Final = struct.Struct("<8sIII")
_ALIGNMENT: Final = 64
_CHECKED_ON_OPEN_BYTES: Final = 65_536
_CHUNK_BYTES: Final = 1 << 20
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
    checksum: int


class SectionWriter:
    """Takes the values of one section, piece by piece."""

    def __init__(self, file: Any, dtype: np.dtype[Any], on_write: Callable[[], None]) -> None:  # noqa: ANN401 - BufferedWriter, by any opener
        self._file = file
        self._dtype = dtype
        self._on_write = on_write
        self.size = 0
        self.checksum = 0

    def write(self, values: npt.NDArray[Any] | bytes) -> None:
        """Append values; numbers are converted to the section's type, bytes are taken as they are."""
        self._on_write()
        data = values if isinstance(values, bytes) else np.ascontiguousarray(values, self._dtype).tobytes()
        self._file.write(data)
        self.size += len(data)
        self.checksum = zlib.crc32(data, self.checksum)


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
        self._file.write(b"\0" * (-self._file.tell() % _ALIGNMENT))
        kind = np.dtype(dtype).newbyteorder("<")
        offset, writer = self._file.tell(), SectionWriter(self._file, kind, self._on_write)
        yield writer
        self._sections.append(_Section(name, kind.str, columns, offset, writer.size, writer.checksum))

    def add(self, name: str, values: npt.NDArray[Any]) -> None:
        """Write a section that is all in memory."""
        with self.section(name, values.dtype.type) as section:
            section.write(values)

    def finish(self) -> FileStamp:
        """Write the table of contents and make the file durable; its directory is the caller's to sync."""
        table = msgspec.msgpack.encode(self._sections)
        checksum = zlib.crc32(table)
        self._file.write(table + _TRAILER.pack(MAGIC, FORMAT_VERSION, len(table), checksum))
        self._file.flush()
        os.fsync(self._file.fileno())
        return FileStamp(self._file.tell(), checksum)


class SegmentFile:
    """A segment file, mapped; its arrays stay readable as long as somebody refers to them.

    Args:
        path: of the file.
        stamp: what the manifest says of it.

    Raises:
        FileNotFoundError: it is not there, perhaps because a newer manifest no longer names it.
        GenerationUnusable: it is not the file that the manifest means.
    """

    def __init__(self, path: Path, stamp: FileStamp) -> None:
        self.path = path
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != stamp.size or size < _TRAILER.size:
                raise GenerationUnusable(f"{path} has {size} bytes, not the {stamp.size} that were written")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._sections = {section.name: section for section in self._table(stamp)}
        for section in self._sections.values():
            self._check(section)

    def array(self, name: str, dtype: type[N]) -> npt.NDArray[N]:
        """A section's values: one-dimensional, or (rows, columns) for a table; read-only.

        Raises:
            GenerationUnusable: the file has no such section.
        """
        section = self._sections.get(name)
        if section is None or section.dtype != np.dtype(dtype).newbyteorder("<").str:
            raise GenerationUnusable(f"{self.path} has no section {name!r} of {np.dtype(dtype).name}")
        kind = np.dtype(dtype)
        values = np.frombuffer(self._map, kind, section.size // kind.itemsize, section.offset)
        return values.reshape(-1, section.columns) if section.columns > 1 else values

    def memory(self, name: str) -> memoryview:
        """A section's bytes, not copied."""
        return self.array(name, np.uint8).data

    def verify(self) -> None:
        """Read all of the file and hold it against its checksums.

        Raises:
            GenerationUnusable: naming the section that changed.
        """
        for _ in self.checks():
            pass

    def checks(self) -> Iterator[None]:
        """As `verify`, in steps that take a millisecond or so: whoever iterates can do something else, or stop."""
        for section in self._sections.values():
            yield from self._checksum_steps(section)

    def _table(self, stamp: FileStamp) -> list[_Section]:
        end = len(self._map) - _TRAILER.size
        magic, version, length, checksum = _TRAILER.unpack_from(self._map, end)
        if magic != MAGIC or version != FORMAT_VERSION:
            raise GenerationUnusable(f"{self.path} is not a segment file of format {FORMAT_VERSION}")
        if length > end or checksum != stamp.checksum or zlib.crc32(self._map[end - length : end]) != checksum:
            raise GenerationUnusable(f"{self.path} has a damaged table of contents")
        try:
            return msgspec.msgpack.decode(self._map[end - length : end], type=list[_Section])
        except msgspec.DecodeError as exc:
            raise GenerationUnusable(f"{self.path} has an unreadable table of contents: {exc}") from exc

    def _check(self, section: _Section) -> None:
        whole = section.dtype in _DTYPES and section.columns > 0
        if not whole or section.size % (np.dtype(section.dtype).itemsize * section.columns):
            raise GenerationUnusable(f"{self.path}: section {section.name!r} is malformed")
        if section.offset < 0 or section.offset + section.size > len(self._map):
            raise GenerationUnusable(f"{self.path}: section {section.name!r} ends beyond the file")
        if section.size <= _CHECKED_ON_OPEN_BYTES:
            for _ in self._checksum_steps(section):
                pass

    def _checksum_steps(self, section: _Section) -> Iterator[None]:
        checksum = 0
        end = section.offset + section.size
        for start in range(section.offset, end, _CHUNK_BYTES):
            with memoryview(self._map) as whole, whole[start : min(start + _CHUNK_BYTES, end)] as chunk:
                checksum = zlib.crc32(chunk, checksum)
            yield
        if checksum != section.checksum:
            raise GenerationUnusable(f"{self.path}: section {section.name!r} does not match its checksum")
