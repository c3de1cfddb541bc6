"""The manifest: which files are the index now, and how far it has read; both change in one rename.

    <generation>/manifest                  magic, format version, length and CRC-32 of the rest, then msgpack
    <generation>/<number>.segment          see `indexer.segment.file`
    <generation>/<number>-<commit>.deleted which of a segment's documents are deleted, see `indexer.segment.tombstones`

A reader that has read a manifest and finds a file gone looks again: a newer manifest must be there. It can tell with
one `stat`, since it keeps the manifest it has read mapped and the inode number therefore cannot be used again.
"""

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Final

import msgspec

from indexer.durable import replace_file
from indexer.errors import GenerationUnusable
from indexer.segment.file import FileStamp
from streams.watermark import Watermark

FORMAT_VERSION: Final = 1
"""Of the manifest.

1: commit, watermark, segments with their tombstones, next_segment, summary.
"""

MAGIC: Final = b"ESMANIFT"
MANIFEST: Final = "manifest"
SEGMENT_SUFFIX: Final = ".segment"
TOMBSTONES_SUFFIX: Final = ".deleted"

_HEADER: Final = struct.Struct("<8sIII")


class TombstonesEntry(msgspec.Struct, frozen=True):
    """A file of deletions.

    Attributes:
        name: of the file.
        stamp: its size and checksum.
        documents: how many are deleted.
    """

    name: str
    stamp: FileStamp
    documents: int


class SegmentEntry(msgspec.Struct, frozen=True):
    """A segment of the index.

    Attributes:
        name: of its file.
        stamp: its size and checksum.
        documents: how many it holds, the deleted ones included.
        tombstones: which of them are deleted, if any.
    """

    name: str
    stamp: FileStamp
    documents: int
    tombstones: TombstonesEntry | None = None

    @property
    def live_documents(self) -> int:
        """How many of its documents are not deleted."""
        return self.documents - (self.tombstones.documents if self.tombstones else 0)

    @property
    def size_bytes(self) -> int:
        """What its files take on disk."""
        return self.stamp.size + (self.tombstones.stamp.size if self.tombstones else 0)


class Manifest(msgspec.Struct, frozen=True):
    """One committed state of an index.

    Attributes:
        commit: number of the commit that wrote it.
        watermark: how far the index has read.
        segments: oldest documents first.
        next_segment: number that the next segment's file gets.
        summary: the engine's statistics of all live documents, in its own encoding.
    """

    commit: int = 0
    watermark: Watermark = Watermark()
    segments: tuple[SegmentEntry, ...] = ()
    next_segment: int = 1
    summary: bytes = b""

    @property
    def files(self) -> frozenset[str]:
        """The files that this state needs, the manifest itself apart."""
        deletions = (segment.tombstones for segment in self.segments)
        return frozenset(segment.name for segment in self.segments) | {each.name for each in deletions if each}


class ManifestReader:
    """A manifest as one reader found it.

    Args:
        directory: of the generation.

    Raises:
        FileNotFoundError: nothing was committed yet.
        GenerationUnusable: it is damaged or of another format.
    """

    def __init__(self, directory: Path) -> None:
        self._path = os.fspath(directory / MANIFEST)
        with (directory / MANIFEST).open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size <= _HEADER.size:
                raise GenerationUnusable(f"{self._path} is cut short")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # also keeps the inode, see above
        self._identity = (status.st_dev, status.st_ino)
        self.manifest = _decode(self._map[:], self._path)

    @property
    def encoded(self) -> bytes:
        """The file's bytes."""
        return self._map[:]

    @property
    def superseded(self) -> bool:
        """Whether a newer manifest is in place; one `stat`.

        Raises:
            FileNotFoundError: there is none any more.
        """
        status = os.stat(self._path)  # noqa: PTH116 - the hot path of every query
        return (status.st_dev, status.st_ino) != self._identity


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Put a manifest in place: from here on the index is what it says, also after a crash."""
    payload = msgspec.msgpack.encode(manifest)
    header = _HEADER.pack(MAGIC, FORMAT_VERSION, len(payload), zlib.crc32(payload))
    replace_file(directory / MANIFEST, header + payload)


def _decode(data: bytes, path: str) -> Manifest:
    magic, version, length, checksum = _HEADER.unpack_from(data)
    if magic != MAGIC or version != FORMAT_VERSION:
        raise GenerationUnusable(f"{path} is not a manifest of format {FORMAT_VERSION}")
    payload = data[_HEADER.size :]
    if length != len(payload) or checksum != zlib.crc32(payload):
        raise GenerationUnusable(f"{path} does not match its checksum")
    try:
        return msgspec.msgpack.decode(payload, type=Manifest)
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"{path} cannot be read: {exc}") from exc
