"""The folder of a backup: files by their checksums, shared by all snapshots, and a manifest for each snapshot.

    DIR/files/<sha256>          never written again; gone when no snapshot needs it
    DIR/snapshots/<name>.json   see `infra.backup.manifest`; written last, once all files are on disk
    DIR/lock                    one process works on it at a time

A crash leaves at most files that no manifest names, which the next backup removes.
"""

import contextlib
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from indexer.committed import link_or_copy
from indexer.durable import make_directory, replace_file, sync_directory, sync_file
from infra.backup.errors import BackupDamaged, BackupUnusable
from infra.backup.manifest import Snapshot, StoredFile, decode_manifest, encode_manifest, is_snapshot_name
from infra.supervisor.file_lock import LockHeldError, locked

CHUNK_BYTES: Final = 1 << 20

_OWN: Final = frozenset({"files", "snapshots", "lock"})
_SUFFIX: Final = ".json"
_GZIP: Final = 31  # zlib's number for a gzip header and trailer


class BackupStore:
    """The files and the snapshots under a folder; see `open_store`.

    Attributes:
        new_files: how many were added by this process.
        new_bytes: their sizes.
    """

    def __init__(self, directory: Path) -> None:
        self.new_files = 0
        self.new_bytes = 0
        self._directory = directory
        self._files = directory / "files"
        self._snapshots = directory / "snapshots"

    def names(self) -> list[str]:
        """The names of the snapshots, the oldest first."""
        found = (path for path in self._snapshots.iterdir() if path.suffix == _SUFFIX)
        return sorted((path.stem for path in found if is_snapshot_name(path.stem)), key=_age)

    def read(self, name: str) -> Snapshot:
        """The manifest of a snapshot.

        Raises:
            BackupUnusable: there is none of that name.
            BackupDamaged: it cannot be used.
        """
        path = self._manifest(name)
        try:
            snapshot = decode_manifest(path.read_bytes(), str(path))
        except FileNotFoundError as exc:
            raise BackupUnusable(f"{self._directory} has no snapshot {name!r}") from exc
        if snapshot.name != name:
            raise BackupDamaged(f"{path} is the manifest of the snapshot {snapshot.name!r}")
        return snapshot

    def add(self, source: Path, path: str) -> StoredFile:
        """Keep a file that is never written again: by another name for it, or a copy; nothing where it is kept already.

        Args:
            source: the file.
            path: what the manifest shall call it.
        """
        with source.open("rb") as file:
            sha256, size = hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size
        stored = StoredFile(path, size, sha256)
        if not self._has(stored):
            temporary = self.temporary()
            link_or_copy(source, temporary)
            self.keep(temporary, stored)
        return stored

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Errors of the file system are about the backup: else a full disk would pass for a database that is gone.

        Raises:
            BackupUnusable: saying what is wrong.
        """
        try:
            yield
        except OSError as exc:
            raise BackupUnusable(f"{self._directory} cannot be written: {exc.strerror}") from exc

    def temporary(self) -> Path:
        """Where to write a file that is then kept; nothing lies there."""
        path = self._files / ".unfinished"
        path.unlink(missing_ok=True)
        return path

    def keep(self, temporary: Path, stored: StoredFile) -> None:
        """Keep a file that was written to `temporary()`, unless there is such a file."""
        if self._has(stored):
            temporary.unlink()
            return
        sync_file(temporary)
        temporary.replace(self._files / stored.sha256)
        self.new_files += 1
        self.new_bytes += stored.size

    def seal(self, snapshot: Snapshot) -> None:
        """Make a snapshot whose files were all kept: from here on there is one, also after a crash."""
        sync_directory(self._files)
        replace_file(self._manifest(snapshot.name), encode_manifest(snapshot))

    def remove(self, names: Sequence[str]) -> None:
        """Remove snapshots, and then what none needs, what crashes left behind included.

        Raises:
            BackupDamaged: a manifest cannot be read, so nobody knows what it needs; nothing was removed.
        """
        kept = [self.read(name) for name in self.names() if name not in names]
        for name in names:
            self._manifest(name).unlink()
        sync_directory(self._snapshots)
        needed = {file.sha256 for snapshot in kept for _, file in snapshot.files()}
        for path in self._files.iterdir():
            if path.name not in needed:
                path.unlink()
        sync_directory(self._files)

    def check(self, index: str, file: StoredFile) -> None:
        """Read a file through.

        Raises:
            BackupDamaged: naming it.
        """
        for _ in self.read_file(index, file):
            pass

    def read_file(self, index: str, file: StoredFile) -> Iterator[bytes]:
        """The bytes of a file, piece by piece; the end comes only if they were what was written.

        Raises:
            BackupDamaged: naming it.
        """
        path = self._files / file.sha256
        name = f"{path} ({index}/{file.path})"
        digest = hashlib.sha256()
        with _opened(path, name) as opened:
            if os.fstat(opened.fileno()).st_size != file.size:
                raise BackupDamaged(f"{name} has not the {file.size:,} bytes that were written")
            while data := _next(opened, name):
                digest.update(data)
                yield data
        if digest.hexdigest() != file.sha256:
            raise BackupDamaged(f"{name} does not match its checksum")

    def read_gzipped(self, index: str, file: StoredFile) -> Iterator[bytes]:
        """As `read_file`, decompressed; no piece is larger than what is read at a time."""
        unpacking = zlib.decompressobj(_GZIP)
        try:
            for data in self.read_file(index, file):
                rest = data
                while rest and not unpacking.eof:
                    yield from filter(None, [unpacking.decompress(rest, CHUNK_BYTES)])
                    rest = unpacking.unconsumed_tail
        except zlib.error as exc:
            raise BackupDamaged(f"{self._files / file.sha256} ({index}/{file.path}) is not gzipped: {exc}") from exc

    def _has(self, stored: StoredFile) -> bool:
        try:
            return (self._files / stored.sha256).stat(follow_symlinks=False).st_size == stored.size
        except FileNotFoundError:
            return False

    def _manifest(self, name: str) -> Path:
        if not is_snapshot_name(name):
            raise BackupUnusable(f"{name!r} is not the name of a snapshot")
        return self._snapshots / f"{name}{_SUFFIX}"


@contextlib.contextmanager
def open_store(directory: Path, *, create: bool = False) -> Iterator[BackupStore]:
    """Hold the folder of a backup, for as long as the block.

    Args:
        directory: the folder.
        create: make it when it is missing or empty.

    Raises:
        BackupUnusable: it is no backup, or another process works on it.
    """
    if create:
        _create(directory)
    if not all((directory / name).is_dir() for name in ("files", "snapshots")):
        raise BackupUnusable(f"{directory} holds no backup")
    if not os.access(directory, os.W_OK):  # read-only media: nobody can take away what we read
        yield BackupStore(directory)
        return
    try:
        with locked(directory / "lock"):
            yield BackupStore(directory)
    except LockHeldError as exc:
        raise BackupUnusable(f"process {exc.holder or 'unknown'} works on {directory}: wait until it is done") from exc


def _create(directory: Path) -> None:
    """Make the folders, closed to others: they will hold all documents."""
    make_directory(directory, mode=0o700)
    there = {path.name for path in directory.iterdir()}
    if there - _OWN and "files" not in there:  # a crash may have left either of the folders alone
        raise BackupUnusable(f"{directory} holds something else: choose an empty folder")
    for name in ("files", "snapshots"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory)


def _opened(path: Path, name: str) -> BinaryIO:
    """Open a plain file; a link to anywhere else is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise BackupDamaged(f"{name} is gone") from exc
    except OSError as exc:
        raise BackupDamaged(f"{name} cannot be read: {exc.strerror}") from exc
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BackupDamaged(f"{name} is not a file")
    return os.fdopen(descriptor, "rb")


def _next(opened: BinaryIO, name: str) -> bytes:
    try:
        return opened.read(CHUNK_BYTES)
    except OSError as exc:
        raise BackupDamaged(f"{name} cannot be read: {exc.strerror}") from exc


def _age(name: str) -> tuple[str, int]:
    time, _, number = name.partition("-")
    return time, int(number or 0)
