"""The manifest of a snapshot: its indexes, how far each had read, and every file with its size and checksum.

It is a line with format and SHA-256 of what follows, then JSON. Whatever it names is checked before it is used as a
path: a manifest may come from anywhere.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec

from indexer.generation import GenerationSettings
from indexer.registry import LOCAL_ENGINES
from indexer.semantic import SemanticSettings
from indexer.semantic.archive import TABLES
from infra.backup.errors import BackupDamaged
from streams.watermark import Watermark

FORMAT: Final = "embed-search-backup 1"
"""Of manifests and files.

1: files by SHA-256, local indexes file by file, tables in gzipped parts of COPY's binary format.
"""

_NAME: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9]{1,4})?")
_PATH: Final = re.compile(r"(?!\.{1,2}(/|$))[A-Za-z0-9._-]{1,100}(/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100})?")

Natural = Annotated[int, msgspec.Meta(ge=0)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class StoredFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a snapshot.

    Attributes:
        path: in the folder of its index; at most one folder deep.
        size: bytes.
        sha256: of its bytes, in hexadecimal; the store has it under this name.
    """

    path: str
    size: Natural
    sha256: Sha256

    def __post_init__(self) -> None:
        """Refuse a path that leads out of the folder."""
        if not _PATH.fullmatch(self.path):
            raise ValueError(f"{self.path!r} is not a path of a file in an index")


class LocalIndex(msgspec.Struct, frozen=True):
    """One commit of an index on local files.

    Attributes:
        index: its name.
        generation: what it was built with.
        watermark: how far it had read.
        documents: how many it holds.
        files: all of them.
    """

    index: str
    generation: GenerationSettings
    watermark: Watermark
    documents: Natural
    files: tuple[StoredFile, ...]

    def __post_init__(self) -> None:
        """Refuse what is no local index, and would become a path."""
        if self.index not in LOCAL_ENGINES or self.generation.index != self.index:
            raise ValueError(f"{self.index!r} is not a local index")


class CopiedTable(msgspec.Struct, frozen=True):
    """A table of the semantic index.

    Attributes:
        columns: as they were copied, in order.
        rows: how many.
        parts: gzipped files in the binary format of COPY.
    """

    columns: tuple[str, ...]
    rows: Natural
    parts: tuple[StoredFile, ...]


class SemanticIndex(msgspec.Struct, frozen=True):
    """One transaction's view of the semantic index.

    Attributes:
        settings: what it was built with.
        watermark: how far it had read.
        tables: by their names.
    """

    settings: SemanticSettings
    watermark: Watermark
    tables: Mapping[str, CopiedTable]

    def __post_init__(self) -> None:
        """Refuse other tables than ours."""
        if set(self.tables) != set(TABLES):
            raise ValueError(f"the tables must be {', '.join(TABLES)}")


class Snapshot(msgspec.Struct, frozen=True):
    """All that is known of a snapshot.

    Attributes:
        name: of the snapshot, its time in UTC.
        version: of embed-search.
        settings: by the names of their variables, without secrets; for people, and compared on restore.
        local: the local indexes.
        semantic: the semantic index, if it is in the snapshot.
    """

    name: str
    version: str
    settings: Mapping[str, str]
    local: tuple[LocalIndex, ...]
    semantic: SemanticIndex | None = None

    @property
    def indexes(self) -> tuple[str, ...]:
        """The names of the indexes in it."""
        return (*(each.index for each in self.local), *(("semantic",) if self.semantic else ()))

    def files(self) -> Iterator[tuple[str, StoredFile]]:
        """Every file, with the name of its index."""
        for each in self.local:
            for file in each.files:
                yield each.index, file
        if self.semantic is not None:
            for table in self.semantic.tables.values():
                for part in table.parts:
                    yield "semantic", part

    def only(self, indexes: tuple[str, ...]) -> "Snapshot":
        """The same with these indexes alone."""
        local = tuple(each for each in self.local if each.index in indexes)
        return msgspec.structs.replace(self, local=local, semantic=self.semantic if "semantic" in indexes else None)


def is_snapshot_name(text: str) -> bool:
    """Whether a snapshot may be called so."""
    return _NAME.fullmatch(text) is not None


def encode_manifest(snapshot: Snapshot) -> bytes:
    """The bytes of a manifest."""
    payload = msgspec.json.format(msgspec.json.encode(snapshot)) + b"\n"
    return f"{FORMAT} {hashlib.sha256(payload).hexdigest()}\n".encode() + payload


def decode_manifest(data: bytes, path: str) -> Snapshot:
    """Read what `encode_manifest` made.

    Args:
        data: the bytes.
        path: of the file, for messages.

    Raises:
        BackupDamaged: they are something else.
    """
    head, _, payload = data.partition(b"\n")
    format_, _, checksum = head.decode("ascii", "replace").rpartition(" ")
    if format_ != FORMAT:
        raise BackupDamaged(f"{path} is not a manifest of the format {FORMAT!r}")
    if checksum != hashlib.sha256(payload).hexdigest():
        raise BackupDamaged(f"{path} does not match its checksum")
    try:
        return msgspec.json.decode(payload, type=Snapshot)
    except msgspec.DecodeError as exc:  # a ValidationError is one
        raise BackupDamaged(f"{path} cannot be used: {exc}") from exc
