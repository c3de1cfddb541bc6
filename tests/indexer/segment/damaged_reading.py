"""Damages an index in every way, and reads it: each answer is the undamaged one, or an error that says so.

Run as a program, since code that reads damage unchecked may well end the process:

    python -m tests.indexer.segment.damaged_reading <engine> <empty directory> <damages>
"""

import faulthandler
import os
import random
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.backend import Query
from indexer.deadline import Deadline
from indexer.errors import BackendUnavailable, GenerationUnusable
from indexer.filtering import EVERYTHING, Filter, Period, label, microseconds
from indexer.generation import Generation, open_or_create_live
from indexer.registry import LOCAL_ENGINES
from indexer.segment.manifest import MANIFEST
from indexer.segment.pages import PAGE_BYTES
from streams.change import Upsert
from streams.document import DocumentId
from streams.settings import Settings
from streams.watermark import Watermark
from tests.indexer.contract.changes import delete, upsert

_DOCUMENTS: Final = 2_500
_WORDS: Final = 20_000
_SEGMENTS_TO_OTHERS: Final = 6
_QUERIES: Final[Mapping[str, tuple[str, ...]]] = {
    "bm25": ("w1", "w1 w2 w3", "w17 w900 w15900", "w40 w41 w42 w43", "nowhere w3"),
    "native": ("w17 w1", "W15900", r"w159\d\d w1", r"w1 .* w777\b", "w", "nowhere"),
}

_FIRST_DATE: Final = datetime(2024, 1, 31, tzinfo=UTC)
_FILTERS: Final[Mapping[str, Filter]] = {
    "of some": Filter((frozenset(label("tags", f"residue {number}") for number in (3, 5, 7)),)),
    "of one": Filter((frozenset({label("tags", "tag 1800 7")}),)),
    "of a time": Filter(published=Period(microseconds(_FIRST_DATE) + 500, microseconds(_FIRST_DATE) + 700)),
}

Reading = Callable[[], object]


class Damage(msgspec.Struct, frozen=True):
    """What happens to one file.

    Attributes:
        file: which one, a number of any size.
        kind: what happens.
        place: where, in parts of the file, 0 to 1.
        order: of the readings that follow, a seed.
    """

    file: int
    kind: str
    place: float
    order: int


def _flip(data: bytearray, at: int) -> None:
    data[at] ^= 1 << at % 8


def _set_high(data: bytearray, at: int) -> None:
    data[at] = 0xFF if data[at] != 0xFF else 0  # what is a small number becomes a large one


def _zero_page(data: bytearray, at: int) -> None:
    start = at // PAGE_BYTES * PAGE_BYTES
    data[start : start + PAGE_BYTES] = bytes(len(data[start : start + PAGE_BYTES]))


def _overwrite_page(data: bytearray, at: int) -> None:
    start = at // PAGE_BYTES * PAGE_BYTES
    data[start : start + PAGE_BYTES] = random.Random(at).randbytes(len(data[start : start + PAGE_BYTES]))


def _cut(data: bytearray, at: int) -> None:
    del data[at:]


_KINDS: Final = {"flip": _flip, "high": _set_high, "zero": _zero_page, "overwrite": _overwrite_page, "cut": _cut}

DAMAGES: Final = st.builds(
    Damage,
    file=st.integers(0, 1_000),
    kind=st.sampled_from(sorted(_KINDS)),
    place=st.floats(0, 1, exclude_max=True),
    order=st.integers(0, 1_000_000),
)


class DamagedReading:
    """An index, its copy that is damaged, and what the sound one answers.

    Args:
        engine: name of it.
        directory: takes the indexes.
    """

    def __init__(self, engine: str, directory: Path) -> None:
        self._engine = engine
        self._sound = _built(engine, directory)
        self._copy = directory / "copy"
        self._expected = {name: read() for name, read in self._readings(self._sound).items()}
        self.refused = 0

    def read(self, damage: Damage) -> None:
        """Damage a file, and read everything in some order, from unread files on."""
        generation = self._damaged(damage)
        try:
            readings = self._readings(generation)
        except GenerationUnusable:
            self.refused += 1
            return
        names = sorted(readings)
        random.Random(damage.order).shuffle(names)
        for name in names:
            try:
                answer = readings[name]()
            except (BackendUnavailable, GenerationUnusable):
                self.refused += 1
                continue
            assert answer == self._expected[name], name

    def _damaged(self, damage: Damage) -> Generation:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._sound.directory, self._copy, copy_function=os.link)
        segments = sorted(self._copy.glob("*.segment"))
        files = [*segments * _SEGMENTS_TO_OTHERS, self._copy / MANIFEST, *self._copy.glob("*.deleted")]
        path = files[damage.file % len(files)]
        data = bytearray(path.read_bytes())
        _KINDS[damage.kind](data, int(damage.place * len(data)))
        path.unlink()
        path.write_bytes(data)
        return msgspec.structs.replace(self._sound, directory=self._copy)

    def _readings(self, generation: Generation) -> dict[str, Reading]:
        searcher = LOCAL_ENGINES[self._engine].searcher(generation)
        ids = [DocumentId(f"d{number}") for number in (0, 3, 450, 1_800, 2_499)]

        def searched(text: str, limit: int, only: Filter = EVERYTHING) -> Reading:
            return lambda: searcher.search(Query(text, limit, Deadline.after(60), only))

        def fetched(each: DocumentId) -> Reading:
            return lambda: searcher.fetch([each, DocumentId("nobody")], Deadline.after(60))

        readings: dict[str, Reading] = {f"fetch {each}": fetched(each) for each in ids}
        readings |= {f"{text} {limit}": searched(text, limit) for text in _QUERIES[self._engine] for limit in (3, 200)}
        for name, only in _FILTERS.items():
            readings[f"newest {name}"] = partial(searcher.newest, 20, Deadline.after(60), only)
            readings |= {f"{text} {name}": searched(text, 20, only) for text in _QUERIES[self._engine][:2]}
        return readings | {"newest": lambda: searcher.newest(20, Deadline.after(60)), "stats": searcher.stats}


def _filtered(change: Upsert) -> Upsert:
    """The same with what documents are filtered by: a tag that is rare, others that nobody else has, and a date."""
    number = change.position.offset
    tags = (f"residue {number % 17}", *(f"tag {number} {more}" for more in range(20)))
    published = _FIRST_DATE + timedelta(microseconds=number)
    return Upsert(msgspec.structs.replace(change.document, tags=tags, published_at=published), change.position)


def _built(engine: str, directory: Path) -> Generation:
    """Two segments of many pages, and a deletion in the smaller."""
    chance = random.Random(5)
    local = LOCAL_ENGINES[engine]
    generation = open_or_create_live(directory, local.settings(Settings()))
    writer = local.writer(generation)
    for offset in range(_DOCUMENTS):
        words = (f"w{min(int(chance.paretovariate(0.5)), chance.randrange(1, _WORDS))}" for _ in range(250))
        title = f"w{offset}" if offset % 3 else ""
        writer.apply([_filtered(upsert(f"d{offset}", " ".join(words), offset=offset, title=title))])
        if offset in {600, _DOCUMENTS - 1}:
            writer.commit(Watermark(offsets={0: offset + 1}))
    writer.apply([delete("d3", offset=_DOCUMENTS)])
    writer.commit(Watermark(offsets={0: _DOCUMENTS + 1}))
    writer.close()
    return generation


def main(engine: str, directory: Path, damages: int) -> None:
    """Read an index damaged in so many ways.

    Raises:
        AssertionError: an answer is wrong, without an error.
    """
    reading = DamagedReading(engine, directory)

    @settings(max_examples=damages, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(DAMAGES)
    def every_damage(damage: Damage) -> None:
        reading.read(damage)

    every_damage()
    assert reading.refused >= damages // 2, reading.refused


if __name__ == "__main__":
    faulthandler.enable()
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
