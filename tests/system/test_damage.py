"""A file of an index is damaged behind its indexer's back: nobody has to do anything."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from indexer.generation import live_generation
from indexer.quarantine import QUARANTINE
from indexer.registry import LOCAL_ENGINES, indexes_directory, open_backend
from indexer.resources import MemoryGuard, memory_limit
from streams.metrics import Metrics
from streams.settings import Settings
from tests.system.processes import Program, program
from tests.system.test_crash_points import Stage, differences, environment, has_read_all
from tests.system.waiting import until

DOCUMENTS = 120
PAGE_BYTES = 4_096
SEED = 5


@pytest.fixture(scope="module")
def stage(kafka_bootstrap: str) -> Stage:
    """A topic for all indexes."""
    return Stage(kafka_bootstrap, DOCUMENTS, SEED)


def flip_a_byte(path: Path, dice: random.Random) -> None:
    """As a disk does that lies."""
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    replace(path, bytes(data))


def cut_short(path: Path, dice: random.Random) -> None:
    """As a copy does that ran out of room."""
    data = path.read_bytes()
    replace(path, data[: dice.randrange(len(data))])


def zero_a_page(path: Path, dice: random.Random) -> None:
    """As power loss does to what was never synced; a page that is zero already is no damage."""
    data = bytearray(path.read_bytes())
    begin = dice.randrange(0, len(data), PAGE_BYTES)
    page = data[begin : begin + PAGE_BYTES]
    data[begin : begin + PAGE_BYTES] = bytes(len(page)) if any(page) else b"\xff" * len(page)
    replace(path, bytes(data))


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "flipped byte": flip_a_byte,
    "cut short": cut_short,
    "zeroed page": zero_a_page,
}


def replace(path: Path, data: bytes) -> None:
    """Put another file in the place of one: whoever has it mapped goes on reading the old one."""
    made = path.with_name(f"{path.name}.made")
    made.write_bytes(data)
    made.replace(path)


def data_files(settings: Settings, index: str) -> list[Path]:
    """Those of the live generation that hold what is searched, and have a checksum."""
    suffixes = {".segment", ".fast", ".fieldnorm", ".idx", ".pos", ".store", ".term"}
    files = live_directory(settings, index).rglob("*")
    return sorted(path for path in files if path.suffix in suffixes and path.parent.name != QUARANTINE)


def live_directory(settings: Settings, index: str) -> Path:
    """Of the live generation."""
    live = live_generation(indexes_directory(settings), index)
    assert live is not None
    return live.directory


@pytest.mark.parametrize("index", sorted(LOCAL_ENGINES))
async def test_a_damaged_index_is_whole_again(
    stage: Stage, index: str, tmp_path: Path, database_dsn: str, model_path: Path
) -> None:
    """Its indexer names the file, reads the topic again, and ends with all of it."""
    dice = random.Random(f"{SEED} {index}")
    settings = stage.settings(tmp_path / "data", database_dsn, model_path)
    settings.data_dir.mkdir()
    log = tmp_path / "index.log"
    backend = open_backend(index, settings, Metrics(), MemoryGuard(memory_limit(None)))
    try:
        for kind in ("", *KINDS):
            if kind:
                path = dice.choice(data_files(settings, index))
                KINDS[kind](path, dice)
            with program(["index", index], environment(settings), log) as indexer:
                if kind:
                    gone = partial(set_aside, path, indexer, settings, index)
                    await until(gone, f"{kind} of {path}: {indexer.output}")
                await until(lambda: has_read_all(backend, stage.past.end), f"{index} is whole: {indexer.output}")
                assert await differences(backend, stage.past) == []
                assert indexer.stop() == 0, indexer.output
            log.unlink()
    finally:
        await backend.close()


async def set_aside(path: Path, indexer: Program, settings: Settings, index: str) -> bool:
    """Whether a file was named, and is no part of what is live any more."""
    is_live = path.exists() and live_directory(settings, index) in path.parents
    return path.name in indexer.output and not is_live
