"""The audit that `embed-search verify --deep` makes: it agrees with a sound index, and notices a wrong one."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from indexer.bm25 import Bm25Writer, generation_settings
from indexer.bm25.audit import audit_scores
from indexer.generation import Generation, open_or_create_live
from indexer.segment.manifest import ManifestReader, write_manifest
from streams.change import Delete, Position, Upsert
from streams.document import Document, DocumentId
from streams.watermark import Watermark

WORDS = [
    "circuit",
    "breaker",
    "openCircuit",
    "snake_case",
    "naïve",
    "the",
    "of",
    "and",
    "stream",
    "replay",
    "segment",
    "posting",
]


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    """An index of 300 documents in two segments, some of them deleted, others replaced."""
    generation = open_or_create_live(tmp_path, generation_settings())
    writer = Bm25Writer(generation)
    for offset, document in enumerate(_documents(), 1):
        writer.apply([Upsert(document, Position(0, offset, offset))])
        if offset == 150:
            writer.commit(Watermark("t", "c", {0: offset + 1}, offset))
    writer.apply([Delete(DocumentId(f"d{number}"), Position(0, 400 + number, 0)) for number in range(0, 60, 7)])
    writer.commit(Watermark("t", "c", {0: 600}, 600))
    writer.close()
    return generation


def _documents() -> Iterator[Document]:
    random = np.random.default_rng(7)
    for number in range(310):
        words = random.choice(WORDS, size=int(random.integers(1, 30)))
        body = " ".join([*words, f"word{number % 90}"])
        yield Document(id=DocumentId(f"d{number % 300}"), title=str(words[0]), body=body)


def test_a_sound_index_agrees_with_rank_bm25(generation: Generation) -> None:
    """Thousands of scores, and no difference."""
    audit = audit_scores(generation, sample=50)
    assert audit.queries > 30
    assert audit.scores > 1_000
    assert audit.disagreements == []


def test_wrong_statistics_are_noticed(generation: Generation) -> None:
    """A manifest whose statistics belong to an earlier commit gives other scores."""
    with_fewer = ManifestReader(generation.directory).manifest
    writer = Bm25Writer(generation)
    body = "circuit " * 200
    writer.apply([Upsert(Document(id=DocumentId("new"), body=body), Position(0, 700, 0))])
    writer.commit(Watermark("t", "c", {0: 701}, 701))
    writer.close()
    manifest = ManifestReader(generation.directory).manifest
    write_manifest(generation.directory, msgspec.structs.replace(manifest, summary=with_fewer.summary))
    assert len(audit_scores(generation, sample=50).disagreements) > 100


def test_an_empty_index_has_nothing_to_compare(tmp_path: Path) -> None:
    """No division by the number of documents."""
    generation = open_or_create_live(tmp_path, generation_settings())
    Bm25Writer(generation).close()
    assert audit_scores(generation, sample=50).scores == 0
