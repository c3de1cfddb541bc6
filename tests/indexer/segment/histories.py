"""A short history of a segmented index, what it holds after each commit, and what is found of it on disk."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from indexer.bm25 import Bm25Writer
from indexer.generation import Generation, live_generation, open_or_create_live
from indexer.native import NativeWriter
from indexer.registry import LOCAL_ENGINES
from indexer.segment import SegmentedWriter
from streams.change import Change, Upsert
from streams.settings import Settings
from tests.indexer.contract.changes import delete, upsert, watermark_after

WRITERS: Final[dict[str, Callable[[Generation], SegmentedWriter[Any]]]] = {"bm25": Bm25Writer, "native": NativeWriter}

BATCHES: Final[tuple[list[Change], ...]] = (
    [upsert(f"d{number}", f"the body of document {number}", offset=number) for number in range(6)],
    # Most of the first segment is deleted, so it is merged.
    [upsert("d0", "another body", offset=6), *(delete(f"d{number}", offset=6 + number) for number in (1, 2, 3))],
    [delete("d4", offset=10), upsert("d6", "one more", offset=11, title="with a title")],
)

_SETTINGS: Final = {name: LOCAL_ENGINES[name].settings(Settings()) for name in WRITERS}

State = dict[str, int]
"""The offset that each document came from."""


def states() -> list[State]:
    """What the index holds after no, one, two … commits."""
    found: list[State] = [{}]
    for batch in BATCHES:
        state = dict(found[-1])
        for change in batch:
            state.pop(change.id, None)
            if isinstance(change, Upsert):
                state[change.id] = change.position.offset
        found.append(state)
    return found


def write(root: Path, name: str, on_commit: Callable[[int], None] = lambda _: None) -> None:
    """Write what the index has not read yet, as an indexer does that begins at its watermark.

    Args:
        root: of all indexes.
        name: of the index.
        on_commit: is told how many batches are committed.
    """
    generation = open_or_create_live(root, _SETTINGS[name])
    with contextlib.closing(WRITERS[name](generation)) as writer:
        following = writer.watermark().offsets.get(0, 0)
        for number, batch in enumerate(BATCHES, 1):
            if batch[-1].position.offset < following:
                continue
            writer.apply(batch)
            writer.commit(watermark_after(*batch))
            on_commit(number)
            writer.settle()


def read(root: Path, name: str) -> int | None:
    """How many batches the index holds, by its watermark as by its documents; None where there is no index yet."""
    generation = live_generation(root, name)
    if generation is None:
        return None
    with contextlib.closing(LOCAL_ENGINES[name].searcher(generation)) as searcher:
        dump = searcher.dump()
        documents = {each.id: each.offset for each in dump.documents}
        number = [0, *(batch[-1].position.offset + 1 for batch in BATCHES)].index(dump.watermark.offsets.get(0, 0))
    assert documents == states()[number]
    return number


def check_files(root: Path, name: str) -> None:
    """Every checksum is right, and nothing lies about that the index does not need."""
    generation = live_generation(root, name)
    assert generation is not None
    engine = LOCAL_ENGINES[name]
    assert not list(engine.find_damage(generation))
    committed = engine.list_committed(generation)
    found = {path.name for path in generation.directory.iterdir()}
    assert found - {*committed.immutable, *committed.replaced} <= {engine.lock, "generation.json"}
