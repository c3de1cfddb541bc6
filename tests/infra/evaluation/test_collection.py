"""Judged collections in the BEIR layout."""

import gzip
from pathlib import Path

import pytest

from infra.evaluation.collection import CollectionUnreadable, load_judged

QUERIES = b'{"_id": "1", "text": "wing flow"}\n{"_id": "2", "text": "heat"}\n{"_id": "3", "text": "unjudged"}\n'
QRELS = "query-id\tcorpus-id\tscore\n1\td1\t2\n1\td2\t0\n2\td9\t0\n"


def test_queries_with_a_relevant_document_are_loaded_with_their_grades(tmp_path: Path) -> None:
    """Queries that nothing answers are left out: every ranking of them is worth nothing."""
    (tmp_path / "queries.jsonl").write_bytes(QUERIES)
    (tmp_path / "qrels.tsv").write_text(QRELS)
    (judged,) = load_judged(tmp_path)
    assert (judged.text, judged.grades) == ("wing flow", {"d1": 2, "d2": 0})


def test_gzipped_queries_and_the_beir_folder_of_judgments_are_read_too(tmp_path: Path) -> None:
    """The layout that BEIR itself ships."""
    (tmp_path / "queries.jsonl.gz").write_bytes(gzip.compress(QUERIES))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS)
    assert len(load_judged(tmp_path)) == 1


@pytest.mark.parametrize(
    ("queries", "qrels"), [(None, QRELS), (QUERIES, None), (b"not json", QRELS), (QUERIES, "a\tb\n1\t2\n")]
)
def test_a_folder_that_is_no_collection_is_refused_by_name(
    tmp_path: Path, queries: bytes | None, qrels: str | None
) -> None:
    """The message says which folder, and what it lacks."""
    if queries is not None:
        (tmp_path / "queries.jsonl").write_bytes(queries)
    if qrels is not None:
        (tmp_path / "qrels.tsv").write_text(qrels)
    with pytest.raises(CollectionUnreadable, match=str(tmp_path)):
        load_judged(tmp_path)
