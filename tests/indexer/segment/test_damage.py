"""Damaged files are named and refused, never served and never a crash."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from indexer.errors import GenerationUnusable, WriterFailed
from indexer.generation import Generation
from indexer.quarantine import QUARANTINE
from indexer.segment import Segment, SegmentedWriter
from indexer.segment.manifest import MANIFEST
from streams.change import Change
from streams.watermark import Watermark
from tests.indexer.contract.changes import delete, upsert
from tests.indexer.segment.engine import LengthEngine, Lengths, bodies, new_generation, open_reader, open_writer

SEGMENT = "00000001.segment"
TOMBSTONES = "00000001-00000003.deleted"
LATER_TOMBSTONES = "00000001-00000004.deleted"


# Random text does not compress: the blocks are too large to be checked on opening, as they are in real indexes.
HISTORY: Final[list[Change]] = [
    *(upsert(f"d{number}", random.Random(number).randbytes(3_000).hex(), offset=number) for number in range(40)),
    upsert("d3", "newer", offset=40),
    delete("d3", offset=41),
    upsert("d5", "newer than the segment that is lost", offset=42),
    upsert("new", "body", offset=43),
]


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    """A generation with a segment and deletions."""
    generation = new_generation(tmp_path)
    writer = open_writer(generation)
    writer.apply(HISTORY[:40])
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
    """Whatever happened to a file, a reader says which one it is, at once or when all is verified."""
    path = generation.directory / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(GenerationUnusable, match=name.replace(".", r"\.")):
        _verify(generation)


@pytest.mark.parametrize("damage", [_cut, _emptied, _grown, _flipped_last, _flipped_first])
def test_damaged_manifest_is_left_alone(generation: Generation, damage: Callable[[bytes], bytes]) -> None:
    """Without its manifest nothing is known of an index, and a writer refuses it."""
    path = generation.directory / MANIFEST
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(GenerationUnusable, match=MANIFEST):
        open_writer(generation)


@pytest.mark.parametrize("name", [SEGMENT, TOMBSTONES])
def test_lost_file_is_named(generation: Generation, name: str) -> None:
    """A file that the manifest names and that is not there is named."""
    (generation.directory / name).unlink()
    with pytest.raises(GenerationUnusable, match=name.replace(".", r"\.")):
        open_reader(generation)


def _lost(path: Path) -> None:
    path.unlink()


def _damaged(damage: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        path.write_bytes(damage(path.read_bytes()))

    return harm


@pytest.mark.parametrize("harm", [_lost, *map(_damaged, (_cut, _emptied, _grown, _flipped_last, _flipped_first))])
@pytest.mark.parametrize("name", [SEGMENT, LATER_TOMBSTONES])
def test_damaged_segment_is_set_aside_and_comes_back(
    generation: Generation, name: str, harm: Callable[[Path], None]
) -> None:
    """Whatever happened to a segment, it is quarantined, and a replay from the empty watermark brings all back."""
    add = open_writer(generation)
    add.apply(HISTORY[41:])
    add.commit(Watermark(topic="t", cluster="c", offsets={0: len(HISTORY)}))
    add.close()
    expected = bodies(open_reader(generation))
    harm(generation.directory / name)
    writer = _writer_without_damage(generation)
    assert writer.watermark() == Watermark(topic="t", cluster="c")
    left = bodies(open_reader(generation))
    assert set(left) == {"new", "d5"}
    assert not (generation.directory / SEGMENT).exists()
    quarantined = {path.name for path in (generation.directory / QUARANTINE).iterdir()}
    assert quarantined == {SEGMENT, LATER_TOMBSTONES} - ({name} if harm is _lost else set())
    for start in range(0, len(HISTORY), 7):
        writer.apply(HISTORY[start : start + 7])
        writer.commit(Watermark(topic="t", cluster="c", offsets={0: start + 7}))
    writer.settle()
    assert bodies(open_reader(generation)) == expected
    assert [path.name for path in sorted(generation.directory.iterdir()) if path.suffix == ".tmp"] == []
    _verify(generation)
    writer.close()


def test_scrub_finds_what_opening_does_not(generation: Generation) -> None:
    """Damage inside a large section fails the writer soon after it was opened, by name, and is served no more."""
    _damage_a_block(generation)
    writer = open_writer(generation)
    with pytest.raises(WriterFailed, match=r"00000001\.segment: page 0 of 'document\.blocks'"):
        writer.settle()
    with pytest.raises(WriterFailed, match="open another one"):
        writer.watermark()
    assert bodies(open_reader(generation)) == {}
    again = open_writer(generation)
    assert again.watermark().offsets == {}
    again.close()


def test_check_tells_what_the_scrub_found(generation: Generation) -> None:
    """A writer that has nothing to write fails, too, and the next one begins without the segment."""
    _damage_a_block(generation)
    writer = open_writer(generation)
    with pytest.raises(WriterFailed, match="set aside"):
        _check_again_and_again(writer)
    assert bodies(open_reader(generation)) == {}


def _check_again_and_again(writer: SegmentedWriter[Lengths]) -> None:
    patience = time.monotonic() + 40
    while time.monotonic() < patience:
        writer.check()


class _FragileEngine(LengthEngine):
    """Trips over lengths that cannot be."""

    def summarise(self, segments: Sequence[Segment[Lengths]]) -> bytes:
        """Look every length up."""
        return b"".join(np.zeros(10_000, np.uint8)[segment.contents].tobytes() for segment in segments)


def test_code_that_trips_over_damage_does_not_trip_for_ever(generation: Generation) -> None:
    """A writer that fails on what it reads looks at the checksums before the next one tries the same again."""
    writer = SegmentedWriter(generation, _FragileEngine())
    writer.settle()
    path = generation.directory / SEGMENT
    lengths = path.read_bytes().index(np.full(40, 6_000, np.uint32).tobytes())
    with path.open("r+b") as file:
        file.seek(lengths)
        file.write(b"\xff\xff\xff")
    writer.apply([delete("d4", offset=50)])
    with pytest.raises(WriterFailed, match="set aside"):
        writer.commit(Watermark(offsets={0: 51}))
    assert (generation.directory / QUARANTINE / SEGMENT).exists()
    again = open_writer(generation)
    assert again.watermark().offsets == {}
    again.close()


def test_closing_interrupts_the_scrub(generation: Generation) -> None:
    """A writer that is closed leaves no thread behind."""
    before = set(threading.enumerate())
    open_writer(generation).close()
    assert set(threading.enumerate()) == before


def test_every_byte_of_a_segment_counts(generation: Generation) -> None:
    """A bit flipped anywhere in a segment, in the padding between sections too, is found."""
    path = generation.directory / SEGMENT
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 400)):
        path.unlink()
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(GenerationUnusable, match=SEGMENT):
            _verify(generation)


def test_damaged_document_is_named(generation: Generation) -> None:
    """A damaged block of documents is found when a document of it is read, also without a check of the whole file."""
    _damage_a_block(generation)
    with pytest.raises(GenerationUnusable, match=r"00000001\.segment"):
        bodies(open_reader(generation))


def test_merge_does_not_spread_damage(generation: Generation) -> None:
    """A segment is verified before its contents are copied into another one, also when it was sound on opening."""
    writer = open_writer(generation)
    writer.settle()
    with (generation.directory / SEGMENT).open("r+b") as file:
        file.seek(40)
        file.write(b"\xff\xff\xff")
    writer.apply([delete(f"d{number}", offset=50 + number) for number in range(30)])
    writer.commit(Watermark(offsets={0: 100}))
    with pytest.raises(WriterFailed, match=r"document\.blocks"):
        writer.settle()
    assert bodies(open_reader(generation)) == {}
    assert (generation.directory / QUARANTINE / SEGMENT).exists()


def _writer_without_damage(generation: Generation) -> SegmentedWriter[Lengths]:
    """Open a writer, again if damage is found behind the first one's opening, as the consumer does."""
    writer = open_writer(generation)
    try:
        writer.settle()
    except WriterFailed:
        return open_writer(generation)
    return writer


def _verify(generation: Generation) -> None:
    for segment in open_reader(generation).current().segments:
        segment.file.verify()


def _damage_a_block(generation: Generation) -> None:
    path = generation.directory / SEGMENT
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.unlink()
    path.write_bytes(data)
