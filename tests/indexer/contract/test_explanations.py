"""What every search backend must say of a score: how it comes about, of whichever document has one."""

import pytest

from indexer.backend import Query, SearchBackend
from indexer.deadline import Deadline
from indexer.errors import DeadlineExceeded
from indexer.explanation import Explanation
from indexer.writer import IndexWriter
from streams.document import DocumentId
from tests.indexer.contract.changes import delete, upsert
from tests.indexer.contract.harness import SOON, Index, index_changes

SINGLE_PRECISION = 1e-6
"""Tantivy's and pgvector's numbers have it."""


async def _explained(backend: SearchBackend, text: str, *ids: str) -> dict[str, Explanation]:
    explained = await backend.explain(Query(text, 10, Deadline.after(SOON)), [DocumentId(each) for each in ids])
    return {name: explanation for name, explanation in explained.items()}  # noqa: C416 - widens the type of the key


async def _index(writer: IndexWriter) -> None:
    bodies = {
        "a": "a needle in a haystack\nand one more needle",
        "needle/b": "needle " * 30,
        "c": "the needles of a pine\n" + "straw " * 50,
        "d": "nothing but straw",
        "e": "needle",
    }
    for offset, (name, body) in enumerate(bodies.items()):
        await index_changes(writer, upsert(name, body, title="Needle" if name == "a" else "", offset=offset))


@pytest.mark.parametrize("text", ["needle", "Needle straw needle"])
async def test_the_value_is_the_score_of_the_search(writer: IndexWriter, backend: SearchBackend, text: str) -> None:
    """Of each hit, and it is made of something."""
    await _index(writer)
    answer = await backend.search(Query(text, 10, Deadline.after(SOON)))
    explained = await _explained(backend, text, *(hit.id for hit in answer.hits))
    assert explained.keys() == {hit.id for hit in answer.hits}
    for hit in answer.hits:
        assert explained[hit.id].value == pytest.approx(hit.score, rel=SINGLE_PRECISION)
        assert explained[hit.id].description
        assert explained[hit.id].details


async def test_what_does_not_match_is_not_explained(index: Index, writer: IndexWriter, backend: SearchBackend) -> None:
    """Nor what is not there, or not any more."""
    await _index(writer)
    await index_changes(writer, delete("e", offset=10))
    explained = await _explained(backend, "needle", "a", "d", "e", "nowhere", "nul\0")
    assert explained.keys() == ({"a"} if index.matches_words else {"a", "d"})


async def test_an_empty_index_explains_nothing(backend: SearchBackend) -> None:
    """Without any fault."""
    assert await _explained(backend, "needle", "a") == {}


async def test_time_is_kept(writer: IndexWriter, backend: SearchBackend) -> None:
    """What is late is not begun."""
    await _index(writer)
    with pytest.raises(DeadlineExceeded):
        await backend.explain(Query("needle", 10, Deadline.after(0)), [DocumentId("a")])
