"""The formats on disk: described as they are, and readable for as long as their version says."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from indexer import bm25, native
from indexer.backend import Query
from indexer.bm25.postings import FORMAT_VERSION as BM25_VERSION
from indexer.deadline import Deadline
from indexer.filtering import Filter, label
from indexer.generation import live_generation, open_or_create_live
from indexer.native.contents import FORMAT_VERSION as NATIVE_VERSION
from indexer.registry import LOCAL_ENGINES
from indexer.segment.file import FORMAT_VERSION as SEGMENT_VERSION
from indexer.segment.file import SegmentFile
from indexer.segment.manifest import FORMAT_VERSION as MANIFEST_VERSION
from indexer.segment.manifest import ManifestReader
from streams.change import Position, Upsert
from streams.settings import Settings
from tests.indexer.formats.archive import ARCHIVES, WATERMARK, document, live

INDEXER = Path(bm25.__file__).parents[1]
RELEASES = sorted(path.name for path in ARCHIVES.iterdir())
SOON = 30.0

_ROW = re.compile(r"^\| (?P<names>`[^|]*`) \| (?P<dtype>\w+) \|", re.MULTILINE)
_DTYPES = {"|u1": "uint8", "<u4": "uint32", "<u8": "uint64", "<i4": "int32", "<i8": "int64"}
_QUERIES = {"bm25": "camelCase", "tantivy": "common", "native": "/snake_case camel/"}
"""Each finds every document."""


@pytest.fixture(params=[(release, index) for release in RELEASES for index in sorted(LOCAL_ENGINES)])
def archived(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The name of an index, and the root of a copy as a release wrote it."""
    release, index = request.param
    shutil.copytree(ARCHIVES / release / index, tmp_path / index)
    return index, tmp_path


def _described(page: str) -> dict[str, str]:
    """The sections that a page names, with their dtypes."""
    rows = _ROW.finditer((INDEXER / page).read_text())
    return {name: row["dtype"] for row in rows for name in re.findall("`([^`]+)`", row["names"])}


def _sections(index: str, root: Path) -> Mapping[str, str]:
    generation = live_generation(root, index)
    assert generation is not None
    entry = ManifestReader(generation.directory).manifest.segments[0]
    file = SegmentFile(generation.directory / entry.name, entry.stamp)
    return {name: _DTYPES[section.dtype] for name, section in file._sections.items()}


@pytest.mark.parametrize("index", ["bm25", "native"])
def test_the_pages_describe_every_section_and_no_other(index: str, tmp_path: Path) -> None:
    """A section that is added, renamed or of another type has to be written down."""
    engine = LOCAL_ENGINES[index]
    writer = engine.writer(open_or_create_live(tmp_path, engine.settings(Settings())))
    writer.apply([Upsert(document(1), Position(0, 0, 0))])
    writer.commit(WATERMARK)
    writer.close()
    described = _described("segment/FORMAT.md") | _described(f"{index}/FORMAT.md")
    assert described == _sections(index, tmp_path)


def test_the_pages_name_the_versions() -> None:
    """A page that was forgotten when its format changed says so here."""
    pages = {page: (INDEXER / page).read_text() for page in ("segment/FORMAT.md", "bm25/FORMAT.md", "native/FORMAT.md")}
    assert f"Versions: segment file {SEGMENT_VERSION}, manifest {MANIFEST_VERSION}." in pages["segment/FORMAT.md"]
    assert pages["bm25/FORMAT.md"].splitlines()[2].startswith(f"Version {BM25_VERSION};")
    assert pages["native/FORMAT.md"].splitlines()[2].startswith(f"Version {NATIVE_VERSION};")
    assert native.generation_settings().format_version == NATIVE_VERSION


def test_what_a_release_wrote_is_read(archived: tuple[str, Path]) -> None:
    """Every document comes back whole, is found by query and filter, and the watermark is where it was."""
    index, root = archived
    generation = live_generation(root, index)
    assert generation is not None
    searcher = LOCAL_ENGINES[index].searcher(generation)
    expected = {each.id: each for each in live()}
    answer = searcher.search(Query(_QUERIES[index], 1_000, Deadline.after(SOON)))
    assert {hit.id for hit in answer.hits} == expected.keys()
    assert (answer.total, answer.watermark) == (len(expected), WATERMARK)
    tagged = Filter((frozenset({label("tags", "tag3")}),))
    narrowed = searcher.search(Query(_QUERIES[index], 1_000, Deadline.after(SOON), tagged))
    assert {hit.id for hit in narrowed.hits} == {each.id for each in live() if each.tags == ("tag3",)}
    found = searcher.fetch([*expected], Deadline.after(SOON))
    assert {name: stored.document for name, stored in found.items()} == expected
    searcher.close()
    LOCAL_ENGINES[index].find_damage(generation)


def test_what_a_release_wrote_is_written_on(archived: tuple[str, Path]) -> None:
    """The writer of today takes it over, updates and adds, and merges it with what it writes itself."""
    index, root = archived
    engine = LOCAL_ENGINES[index]
    generation = open_or_create_live(root, engine.settings(Settings()))
    writer = engine.writer(generation)
    assert writer.watermark() == WATERMARK
    for number in range(400, 440):
        writer.apply([Upsert(document(number), Position(0, 100 + number, 1_700_000_001_000))])
        writer.commit(WATERMARK)
    writer.close()
    searcher = engine.searcher(generation)
    answer = searcher.search(Query(_QUERIES[index], 1_000, Deadline.after(SOON)))
    assert answer.total == len(live()) + 40
    searcher.close()
