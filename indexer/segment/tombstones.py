"""Deletions of a segment: one bit a document in a small file of its own, written anew by each commit that adds some.

The file is the bits alone, least significant first, ones for deleted documents; the manifest knows size and checksum.
"""

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from indexer.durable import write_file
from indexer.errors import GenerationUnusable
from indexer.segment.file import FileStamp
from indexer.segment.manifest import TombstonesEntry

Flags = npt.NDArray[np.bool_]


def write_tombstones(path: Path, dead: Flags) -> TombstonesEntry:
    """Write the deletions of a segment, durably; the directory is the caller's to sync.

    Args:
        path: of the file, which must not exist yet.
        dead: true for each deleted document, by ordinal.
    """
    data = np.packbits(dead, bitorder="little").tobytes()
    write_file(path, data)
    return TombstonesEntry(path.name, FileStamp(len(data), zlib.crc32(data)), int(np.count_nonzero(dead)))


def read_tombstones(path: Path, entry: TombstonesEntry, documents: int) -> Flags:
    """Read the deletions of a segment of so many documents: true for each deleted one.

    Raises:
        FileNotFoundError: the file is not there, perhaps because a newer manifest no longer names it.
        GenerationUnusable: it is not the file that the manifest means.
    """
    data = path.read_bytes()
    if len(data) != (documents + 7) // 8 or FileStamp(len(data), zlib.crc32(data)) != entry.stamp:
        raise GenerationUnusable(f"{path} does not match its checksum")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=documents, bitorder="little")
    return bits.astype(np.bool_)
