"""The parts of a copied table, each gzipped into a file of the store."""

import gzip
import hashlib
from pathlib import Path
from typing import Final

from infra.backup.manifest import StoredFile
from infra.backup.store import BackupStore

_LEVEL: Final = 3
"""Vectors, which are most of it, get hardly smaller with more."""


class StoredParts:
    """A `PartSink`. The same rows give the same bytes, so a part that has not changed is kept once.

    Args:
        store: that keeps them.
        table: their folder, as manifests call it.

    Attributes:
        files: the parts so far.
    """

    def __init__(self, store: BackupStore, table: str) -> None:
        self.files: list[StoredFile] = []
        self._store = store
        self._table = table
        self._part: _Part | None = None

    def begin_part(self) -> None:
        """As `PartSink.begin_part`."""
        with self._store.writing():
            self._part = _Part(self._store.temporary())

    def write(self, data: bytes) -> None:
        """As `PartSink.write`."""
        with self._store.writing():
            self._begun().write(data)

    def end_part(self) -> None:
        """As `PartSink.end_part`."""
        part = self._begun()
        with self._store.writing():
            part.close()
            stored = part.stored(f"{self._table}/{len(self.files) + 1:08d}.copy.gz")
            self._store.keep(part.path, stored)
        self.files.append(stored)
        self._part = None

    def close(self) -> None:
        """Let go of a part that was not ended; the store removes its file some day."""
        if self._part is not None:
            self._part.close()

    def _begun(self) -> "_Part":
        if self._part is None:
            raise ValueError("no part has begun")
        return self._part


class _Part:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = path.open("xb")
        self._gzip = gzip.GzipFile("", "wb", _LEVEL, self._raw, mtime=0)

    def write(self, data: bytes) -> None:
        self._gzip.write(data)

    def close(self) -> None:
        try:
            self._gzip.close()
        finally:
            self._raw.close()

    def stored(self, path: str) -> StoredFile:
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return StoredFile(path, self.path.stat().st_size, digest)
