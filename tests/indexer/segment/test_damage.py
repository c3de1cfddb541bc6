"""Damaged files are named and refused, never served and never a crash."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from indexer.errors import GenerationUnusable
from indexer.generation import Generation
from indexer.segment.manifest import MANIFEST
from streams.watermark import Watermark
from tests.indexer.contract.changes import delete, upsert
from tests.indexer.segment.engine import bodies, new_generation, open_reader, open_writer

SEGMENT = "00000001.segment"
TOMBSTONES = "00000001-00000003.deleted"


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    """A generation with a segment and deletions."""
    generation = new_generation(tmp_path)
    writer = open_writer(generation)
    # Random text does not compress: the blocks are too large to be checked on opening, as they are in real indexes.
    writer.apply(
        [upsert(f"d{number}", random.Random(number).randbytes(3_000).hex(), offset=number) for number in range(40)]
    )
    writer.commit(Watermark(offsets={0: 40}))
    writer.commit(Watermark(offsets={0: 41}))
    writer.apply([delete("d3", offset=41)])
    writer.commit(Watermark(offsets={0: 42}))
    writer.close()
    assert len(bodies(open_reader(generation))) == 39
    return generation


def _cut(data: bytes) -> bytes:
    return data[:-1]


def _emptied(_: bytes) -> bytes:
    return b""


def _grown(data: bytes) -> bytes:
    return data + b"\0"


def _flipped_last(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _flipped_first(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize("damage", [_cut, _emptied, _grown, _flipped_last, _flipped_first])
@pytest.mark.parametrize("name", [MANIFEST, SEGMENT, TOMBSTONES])
def test_damage_is_named(generation: Generation, name: str, damage: Callable[[bytes], bytes]) -> None:
    """Whatever happened to a file, readers and writers say which one it is, at once or when all is verified."""
    path = generation.directory / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(GenerationUnusable, match=name.replace(".", r"\.")):
        _verify(generation)
    if not (name == SEGMENT and damage is _flipped_first):  # found by `verify`, before a merge, or by whoever reads it
        with pytest.raises(GenerationUnusable, match=name.replace(".", r"\.")):
            open_writer(generation)


@pytest.mark.parametrize("name", [SEGMENT, TOMBSTONES])
def test_lost_file_is_named(generation: Generation, name: str) -> None:
    """A file that the manifest names and that is not there is named."""
    (generation.directory / name).unlink()
    with pytest.raises(GenerationUnusable, match=name.replace(".", r"\.")):
        open_reader(generation)
    with pytest.raises(GenerationUnusable, match=name.replace(".", r"\.")):
        open_writer(generation)


def test_every_byte_of_a_segment_counts(generation: Generation) -> None:
    """A bit flipped anywhere in a segment, but for the padding between sections, is found."""
    path = generation.directory / SEGMENT
    data = path.read_bytes()
    unnoticed = 0
    for at in range(0, len(data), max(1, len(data) // 400)):
        path.unlink()
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            _verify(generation)
            assert data[at] == 0
            unnoticed += 1
        except GenerationUnusable as exc:
            assert SEGMENT in str(exc)  # noqa: PT017 - most flips are found, a few lie in padding
    assert unnoticed < 20


def test_damaged_document_is_named(generation: Generation) -> None:
    """A damaged block of documents is found when a document of it is read, also without a check of the whole file."""
    _damage_a_block(generation)
    with pytest.raises(GenerationUnusable, match=r"00000001\.segment"):
        bodies(open_reader(generation))


def test_merge_does_not_spread_damage(generation: Generation) -> None:
    """A segment is verified before its contents are copied into another one."""
    _damage_a_block(generation)
    writer = open_writer(generation)
    writer.apply([delete(f"d{number}", offset=50 + number) for number in range(30)])
    with pytest.raises(GenerationUnusable, match=r"document\.blocks"):
        writer.commit(Watermark(offsets={0: 100}))


def _verify(generation: Generation) -> None:
    for segment in open_reader(generation).current().segments:
        segment.file.verify()


def _damage_a_block(generation: Generation) -> None:
    path = generation.directory / SEGMENT
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.unlink()
    path.write_bytes(data)
