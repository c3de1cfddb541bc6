"""A damaged local index is begun anew; what is sound, or not this version's to judge, is left alone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from indexer import registry
from indexer.damage import Damage
from indexer.generation import Generation, describe, live_generation, open_or_create_live
from indexer.quarantine import QUARANTINE
from indexer.registry import LOCAL_ENGINES, indexes_directory, mend
from streams.settings import SEMANTIC, Settings
from streams.watermark import Watermark
from tests.indexer.contract.changes import upsert

Harm = Callable[[Path], None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a system of its own."""
    return Settings(data_dir=tmp_path)


@pytest.fixture
def generation(engine: str, settings: Settings) -> Generation:
    """The live one, with a few documents."""
    local = LOCAL_ENGINES[engine]
    made = open_or_create_live(indexes_directory(settings), local.settings(settings))
    writer = local.writer(made)
    writer.apply([upsert(f"d{number}", f"the words of {number}", offset=number) for number in range(50)])
    writer.commit(Watermark("docs", "c", {0: 50}, 1))
    writer.close()
    return made


def manifest_of(generation: Generation) -> Path:
    """Its list of segments."""
    return next(each for name in ("manifest", "meta.json") for each in generation.directory.rglob(name))


def largest_file_of(generation: Generation) -> Path:
    """The one that most can happen to."""
    return max(
        (each for each in generation.directory.rglob("*") if each.is_file()), key=lambda file: file.stat().st_size
    )


def flip(path: Path) -> None:
    """Change a byte."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path) -> None:
    """Cut it short."""
    os.truncate(path, path.stat().st_size * 2 // 3)


def zero(path: Path) -> None:
    """Lose what it says, as a page does that never reached the disk."""
    path.write_bytes(bytes(path.stat().st_size))


def contents(directory: Path) -> dict[str, bytes]:
    """Of the files in a folder, by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("find", "damage"),
    [
        *((manifest_of, damage) for damage in (truncate, zero, Path.unlink)),  # Tantivy's has no checksum
        *((largest_file_of, damage) for damage in (flip, truncate, zero, Path.unlink)),
    ],
)
async def test_what_is_damaged_is_begun_anew(
    engine: str, generation: Generation, settings: Settings, find: Callable[[Generation], Path], damage: Harm
) -> None:
    """It says which file it was, and keeps it; what is live then is empty and has read nothing."""
    path = find(generation)
    damage(path)
    harmed = path.read_bytes() if path.exists() else None
    assert path.name in await mend(engine, settings)
    live = live_generation(indexes_directory(settings), engine)
    assert live is not None
    assert live.name == "g000002"
    writer = LOCAL_ENGINES[engine].writer(live)
    assert writer.watermark() == Watermark()
    writer.close()
    assert contents(live.directory / QUARANTINE) == ({} if harmed is None else {path.name: harmed})
    assert await mend(engine, settings) == ""


async def test_what_is_sound_is_left_alone(engine: str, generation: Generation, settings: Settings) -> None:
    """Whatever else the writer stumbled over."""
    assert await mend(engine, settings) == ""
    assert live_generation(indexes_directory(settings), engine) == generation


async def test_another_version_of_the_format_is_an_operators_business(
    engine: str, generation: Generation, settings: Settings
) -> None:
    """Its files look damaged to this version, and another version may want them again."""
    truncate(manifest_of(generation))
    built = generation.settings
    describe(generation.directory, msgspec.structs.replace(built, format_version=built.format_version + 1))
    assert await mend(engine, settings) == ""
    live = live_generation(indexes_directory(settings), engine)
    assert live is not None
    assert live.name == generation.name


async def test_an_index_that_was_never_made_has_no_damage(engine: str, settings: Settings) -> None:
    """Nor has one in PostgreSQL, as far as files go."""
    assert await mend(engine, settings) == ""
    assert await mend(SEMANTIC, settings) == ""


async def test_files_that_cannot_be_opened_now_are_not_damaged(
    engine: str, generation: Generation, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may have too many open; the index stays as it is, and its indexer ends with what it had said."""

    def find_damage(_: Generation) -> Iterator[Damage]:
        raise OSError(24, "Too many open files")

    local = msgspec.structs.replace(LOCAL_ENGINES[engine], find_damage=find_damage)
    monkeypatch.setattr(registry, "LOCAL_ENGINES", {engine: local})
    assert await mend(engine, settings) == ""
    assert live_generation(indexes_directory(settings), engine) == generation
