"""Judged collections in the BEIR layout: `corpus.jsonl`, `queries.jsonl`, and `qrels.tsv` or `qrels/test.tsv`."""

import csv
from pathlib import Path

import msgspec

from infra.corpus.readers import beir_file, open_lines
from streams.errors import EmbedSearchError


class CollectionUnreadable(EmbedSearchError):
    """The folder is not a judged collection; the message says what is missing."""


class Judged(msgspec.Struct, frozen=True):
    """A query and what is known to answer it.

    Attributes:
        text: of the query.
        grades: grade by document id.
    """

    text: str
    grades: dict[str, int]


class _Query(msgspec.Struct):
    id: str = msgspec.field(name="_id")
    text: str


def load_judged(folder: Path) -> list[Judged]:
    """The queries that have at least one relevant document, in the order of the file.

    Raises:
        CollectionUnreadable: a file is missing or malformed.
    """
    queries = beir_file(folder, "queries.jsonl")
    qrels = next((file for file in (folder / "qrels.tsv", folder / "qrels" / "test.tsv") if file.is_file()), None)
    if queries is None or qrels is None:
        raise CollectionUnreadable(f"{folder} needs queries.jsonl(.gz), and qrels.tsv or qrels/test.tsv")
    try:
        grades = _read_qrels(qrels)
        with open_lines(queries) as file:
            parsed = [msgspec.json.decode(line, type=_Query) for line in file if line.strip()]
    except (msgspec.DecodeError, ValueError, KeyError) as exc:
        raise CollectionUnreadable(f"{folder} cannot be read: {exc!r}") from exc
    return [Judged(q.text, grades[q.id]) for q in parsed if any(grade > 0 for grade in grades.get(q.id, {}).values())]


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            grades.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return grades
