"""Every engine on local files finds damage in any file that it reads answers from, and names the file."""

import shutil
from pathlib import Path

import pytest

from indexer.errors import WriterFailed
from indexer.generation import Generation, open_or_create_live
from indexer.registry import LOCAL_ENGINES
from streams.change import Delete, Position, Upsert
from streams.document import Document, DocumentId
from streams.settings import Settings
from streams.watermark import Watermark

_WITHOUT_CHECKSUM = {"generation.json", "watermark.json", ".managed.json", "meta.json"}


@pytest.fixture
def generation(engine: str, tmp_path: Path) -> Generation:
    """An index of two segments, with a deletion."""
    local = LOCAL_ENGINES[engine]
    generation = open_or_create_live(tmp_path, local.settings(Settings()))
    writer = local.writer(generation)
    for offset in range(40):
        document = Document(id=DocumentId(f"d{offset}"), title="replay", body=f"the stream of documents {offset}")
        writer.apply([Upsert(document, Position(0, offset, offset))])
        if offset in {30, 39}:
            writer.commit(Watermark("t", "c", {0: offset + 1}, offset))
    writer.apply([Delete(DocumentId("d3"), Position(0, 40, 40))])
    writer.commit(Watermark("t", "c", {0: 41}, 40))
    writer.close()
    return generation


def _files(generation: Generation) -> list[Path]:
    files = (path for path in generation.directory.rglob("*") if path.is_file() and path.stat().st_size)
    return sorted(path for path in files if path.name not in _WITHOUT_CHECKSUM and "lock" not in path.name)


def test_a_sound_index_has_no_damage(engine: str, generation: Generation) -> None:
    """Nothing is named without a reason."""
    assert _files(generation)
    assert list(LOCAL_ENGINES[engine].find_damage(generation)) == []


def test_flipped_bits_are_found_wherever_they_are(engine: str, generation: Generation) -> None:
    """At the beginning, in the middle, where 64 bytes hold more than padding, and in the last byte of each file."""
    for path in _files(generation):
        sound = path.read_bytes()
        for place, size in ((0, 1), (len(sound) // 2, 64), (len(sound) - 1, 1)):
            flipped = bytes(byte ^ 0x10 for byte in sound[place : place + size])
            path.write_bytes(sound[:place] + flipped + sound[place + size :])
            assert path in [each.file for each in LOCAL_ENGINES[engine].find_damage(generation)], (path.name, place)
        path.write_bytes(sound)
    assert list(LOCAL_ENGINES[engine].find_damage(generation)) == []


def test_files_that_are_cut_short_or_gone_are_found(engine: str, generation: Generation) -> None:
    """Each of them is named."""
    for path in _files(generation):
        sound = path.read_bytes()
        path.write_bytes(sound[:-3])
        assert path in [each.file for each in LOCAL_ENGINES[engine].find_damage(generation)], path.name
        path.unlink()
        assert path in [each.file for each in LOCAL_ENGINES[engine].find_damage(generation)], path.name
        path.write_bytes(sound)


def test_a_list_of_segments_that_makes_no_sense_is_found(engine: str, generation: Generation) -> None:
    """The manifest of our own formats, and Tantivy's."""
    path = next(each for name in ("manifest", "meta.json") for each in generation.directory.rglob(name))
    path.write_bytes(b"{" + path.read_bytes()[1:-9])
    assert [each.file for each in LOCAL_ENGINES[engine].find_damage(generation)] == [path]


@pytest.mark.parametrize("removed", ["the folder of the index", "the generation", "the pointer to the live one"])
def test_an_idle_writer_notices_that_its_index_was_removed(engine: str, generation: Generation, removed: str) -> None:
    """It fails, so that the next one makes the index again from the topic, though no document comes."""
    local = LOCAL_ENGINES[engine]
    writer = local.writer(generation)
    writer.check()
    home = generation.directory.parent
    match removed:
        case "the folder of the index":
            shutil.rmtree(home)
        case "the generation":
            shutil.rmtree(generation.directory)
        case _:
            (home / "live").unlink()
    with pytest.raises(WriterFailed, match=r"is gone|No such file"):
        writer.check()
    writer.close()
    if removed != "the generation":
        again = local.writer(open_or_create_live(home.parent, local.settings(Settings())))
        assert again.watermark() == Watermark()
        again.close()
