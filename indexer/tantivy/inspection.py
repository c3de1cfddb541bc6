"""Reads through Tantivy's files and says which are damaged: Tantivy writes checksums, but never looks at them again.

Each file of a segment ends in a footer: JSON with the CRC-32 of what stands before it, the length of that JSON and a
magic number (https://github.com/quickwit-oss/tantivy, `src/directory/footer.rs`).
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from indexer.damage import Damage
from indexer.errors import GenerationUnusable
from indexer.generation import Generation
from indexer.scrub import GoOn
from indexer.tantivy.schema import MANIFEST, segments_directory

_EXTENSIONS: Final = ("fast", "fieldnorm", "idx", "pos", "store", "term")
_FOOTER_END: Final = struct.Struct("<II")
_FOOTER_MAGIC: Final = 1337
_MAX_FOOTER_BYTES: Final = 4_096
_CHUNK_BYTES: Final = 1 << 20


class _Deletes(msgspec.Struct):
    opstamp: int


class _Segment(msgspec.Struct):
    segment_id: str
    deletes: _Deletes | None = None

    def names(self) -> list[str]:
        name = self.segment_id.replace("-", "")
        files = [f"{name}.{extension}" for extension in _EXTENSIONS]
        return files if self.deletes is None else [*files, f"{name}.{self.deletes.opstamp}.del"]


class _Manifest(msgspec.Struct):
    segments: list[_Segment]


class _Footer(msgspec.Struct):
    crc: int


def inspect(generation: Generation, go_on: GoOn) -> None:
    """Read all files of a generation through.

    Args:
        generation: to read.
        go_on: called between two chunks; raises to stop.

    Raises:
        GenerationUnusable: naming the first file that is damaged.
    """
    for damage in find_damage(generation, go_on):
        raise GenerationUnusable(damage.reason)


def find_damage(generation: Generation, go_on: GoOn = lambda: None) -> Iterator[Damage]:
    """As `indexer.damage.FindDamage`, for Tantivy, whose list of segments has no checksum: it must make sense."""
    directory = segments_directory(generation)
    manifest = directory / MANIFEST
    reasons: dict[str, str] = {}
    while True:
        try:
            listed = manifest.read_bytes()
            names = listed_names(listed)
        except FileNotFoundError:
            yield Damage(manifest, f"{manifest} is gone")
            return
        except msgspec.DecodeError as exc:
            yield Damage(manifest, f"{manifest} cannot be read: {exc}")
            return
        reasons |= {name: _fault(directory / name, go_on) for name in names if reasons.get(name) != ""}
        found = [Damage(directory / name, reasons[name]) for name in names if reasons[name]]
        if not found or _is(manifest, listed):  # else a commit or a merge has removed files
            yield from found
            return


def _is(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def listed_names(listed: bytes) -> list[str]:
    """The names of the files that Tantivy's list of segments means.

    Raises:
        msgspec.DecodeError: it is damaged.
    """
    return [name for segment in msgspec.json.decode(listed, type=_Manifest).segments for name in segment.names()]


def _fault(path: Path, go_on: GoOn) -> str:
    """What is wrong with a file; nothing when it is empty."""
    try:
        with path.open("rb") as file:
            return _footer_fault(file, path, go_on)
    except FileNotFoundError:
        return f"{path} is gone"


def _footer_fault(file: BinaryIO, path: Path, go_on: GoOn) -> str:
    size = path.stat().st_size
    file.seek(max(0, size - _FOOTER_END.size))
    end = file.read()
    length, magic = _FOOTER_END.unpack(end) if len(end) == _FOOTER_END.size else (0, 0)
    body = size - _FOOTER_END.size - length
    if magic != _FOOTER_MAGIC or length > _MAX_FOOTER_BYTES or body < 0:
        return f"{path} has a damaged end"
    file.seek(body)
    try:
        footer = msgspec.json.decode(file.read(length), type=_Footer)
    except msgspec.DecodeError:
        return f"{path} has a damaged end"
    return "" if _checksum(file, body, go_on) == footer.crc else f"{path} does not match its checksum"


def _checksum(file: BinaryIO, size: int, go_on: GoOn) -> int:
    """CRC-32 of the first `size` bytes."""
    file.seek(0)
    checksum = 0
    while size > 0:
        go_on()
        data = file.read(min(size, _CHUNK_BYTES))
        checksum = zlib.crc32(data, checksum)
        size -= max(1, len(data))
    return checksum
