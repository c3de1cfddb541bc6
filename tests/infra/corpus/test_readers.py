"""Documents from files and folders: every format, and what becomes of what is none."""

import gzip
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from infra.corpus.readers import Format, Refused, beir_file, read_documents
from streams.codec import MAX_JSON_OVERHEAD
from streams.document import Document

MAX_BODY_BYTES = 1_000


def read(path: Path, kind: Format = "auto", source: str = "") -> list[Document | Refused]:
    """Everything that a path holds."""
    return [entry for entry, _ in read_documents(path, kind=kind, source=source, max_body_bytes=MAX_BODY_BYTES)]


def document(path: Path, kind: Format = "auto", source: str = "") -> Document:
    """The one document that a path holds."""
    (entry,) = read(path, kind, source)
    assert isinstance(entry, Document), entry
    return entry


def refusal(path: Path, kind: Format = "auto") -> Refused:
    """The one thing that a path holds and that cannot be published."""
    (entry,) = read(path, kind)
    assert isinstance(entry, Refused), entry
    return entry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its lines."""
    return tmp_path / "documents.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to fill."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


def test_ndjson_is_a_document_a_line(file: Path) -> None:
    """Blank lines and a missing last newline change nothing; the bytes read add up to the lines."""
    lines = b'{"id":"a","body":"x"}\n\n  \n{"id":"b","body":"y","extra":1}'
    file.write_bytes(lines)
    entries = list(read_documents(file, kind="auto", source="", max_body_bytes=MAX_BODY_BYTES))
    assert [entry.id for entry, _ in entries if isinstance(entry, Document)] == ["a", "b"]
    assert [size for _, size in entries] == [22, 31]


def test_a_bad_line_is_refused_by_its_number(file: Path) -> None:
    """And the good ones around it are read."""
    file.write_bytes(
        b'{"id":"a","body":"x"}\nnot json\n{"id":"","body":"x"}\n{"body":"x"}\n[]\n\xff\n{"id":"b","body":"y"}\n'
    )
    first, *bad, last = read(file)
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert all(isinstance(entry, Refused) for entry in bad)
    assert [entry.place for entry in bad if isinstance(entry, Refused)] == [f"{file}:{line}" for line in range(2, 7)]
    assert [entry.detail[:9] for entry in bad if isinstance(entry, Refused)] == [
        *("value is ", "id: must ", "id: is re", "value mus", "value is ")
    ]


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    """By its name, for every format of lines."""
    path = tmp_path / "documents.ndjson.gz"
    path.write_bytes(gzip.compress(b'{"id":"a","body":"x"}\n'))
    assert document(path).id == "a"


@pytest.mark.parametrize("cut", ["truncated", "not gzip", "damaged"])
def test_a_damaged_archive_cannot_be_read(tmp_path: Path, cut: str) -> None:
    """It is an `OSError`, like any other file that cannot be read."""
    text = random.Random(1).randbytes(50_000).hex()
    whole = gzip.compress(
        b"".join(b'{"id":"%d","body":"%s"}\n' % (n, text[n : n + 900].encode()) for n in range(50_000))
    )
    content = {
        "truncated": whole[: len(whole) // 2],
        "not gzip": b"plain text",
        "damaged": whole[: len(whole) // 2] + bytes(100) + whole[len(whole) // 2 + 100 :],
    }
    path = tmp_path / "documents.ndjson.gz"
    path.write_bytes(content[cut])
    with pytest.raises(OSError, match=r"is damaged|Not a gzipped file|CRC check failed"):
        read(path)


def test_a_missing_path_cannot_be_read(tmp_path: Path) -> None:
    """Whatever format it was said to have."""
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent")


def test_the_source_is_given_to_those_that_name_none(file: Path) -> None:
    """What a document says of itself stays."""
    file.write_bytes(b'{"id":"a","body":"x"}\n{"id":"b","body":"x","source":"own"}\n')
    entries = read(file, source="given")
    assert [entry.source for entry in entries if isinstance(entry, Document)] == ["given", "own"]


def test_a_line_beyond_any_document_is_skipped_in_bounded_memory(file: Path) -> None:
    """Its place and size are told, and the next line is read."""
    limit = MAX_JSON_OVERHEAD * MAX_BODY_BYTES
    long = b'{"id":"long","body":"' + b"x" * 10 * limit + b'"}\n'
    file.write_bytes(b'{"id":"a","body":"x"}\n' + long + b'{"id":"b","body":"x"}\n' + long[:-1])
    entries = list(read_documents(file, kind="ndjson", source="", max_body_bytes=MAX_BODY_BYTES))
    assert [isinstance(entry, Document) for entry, _ in entries] == [True, False, True, False]
    assert [size for _, size in entries] == [22, len(long), 22, len(long) - 1]


def test_an_empty_file_holds_nothing(file: Path) -> None:
    """That is no error."""
    file.touch()
    assert read(file) == []


def beir(**fields: Any) -> bytes:
    """A line of a BEIR corpus."""
    return json.dumps({"_id": "d1", "title": "T", "text": "body"} | fields).encode() + b"\n"


def test_beir_is_recognised(file: Path) -> None:
    """Its `_id` and `text` are id and body."""
    file.write_bytes(beir())
    found = document(file)
    assert (found.id, found.title, found.body, found.metadata) == ("d1", "T", "body", {})


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_a_beir_folder_is_its_corpus(folder: Path, name: str) -> None:
    """Queries and judgements beside it are no documents."""
    (folder / name).write_bytes(gzip.compress(beir()) if name.endswith(".gz") else beir())
    (folder / "queries.jsonl").write_bytes(b"{}")
    assert beir_file(folder, "corpus.jsonl") == folder / name
    assert document(folder).id == "d1"
    assert document(folder, "beir").id == "d1"


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ({}, {}),
        (None, {}),
        ([], {}),
        ("words", {}),
        ({"k": "v", "n": 1}, {"k": "v", "n": 1}),
        ({"authors": ["a", "b"], "deep": {"x": {}}}, {"authors": '["a","b"]', "deep": '{"x":{}}'}),
    ],
)
def test_beir_metadata_may_be_anything(file: Path, metadata: object, kept: dict[str, object]) -> None:
    """Scalars as they are, the rest as JSON text, and what is no object is left out."""
    file.write_bytes(beir(metadata=metadata))
    assert document(file).metadata == kept


def test_beir_metadata_fills_fields_that_beir_has_not(file: Path) -> None:
    """The `url` of many corpora is where the document is."""
    file.write_bytes(beir(metadata={"url": "https://example.org/1"}))
    assert document(file).url == "https://example.org/1"


def test_beir_metadata_replaces_no_field_of_beir(file: Path) -> None:
    """An `id` or `title` in there means something else."""
    file.write_bytes(beir(metadata={"id": "other", "title": "other", "body": "other", "text": "kept"}))
    found = document(file)
    assert (found.id, found.title, found.body, found.metadata) == ("d1", "T", "body", {"text": "kept"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"_id":"a"}', "body: "),
        (b'{"_id":1,"text":"x"}', "id: "),
        (b'{"_id":"a","text":" "}', "body: "),
        (b'"_id"', "line is not a JSON object"),
        (b'{"_id":"a","text":"x","n":' + b"[" * 5_000, "line is not a JSON object"),
    ],
)
def test_a_bad_line_of_beir_is_refused(file: Path, line: bytes, reason: str) -> None:
    """With the reason, like any other."""
    file.write_bytes(line + b"\n")
    assert refusal(file).detail.startswith(reason)


def test_a_folder_is_a_document_a_file(folder: Path) -> None:
    """The relative path is the id, the name the title, in a fixed order."""
    (folder / "sub" / "deep").mkdir(parents=True)
    for name in ("b.txt", "a.md", "sub/deep/é.txt"):
        (folder / name).write_text(f"text of {name}")
    entries = [entry for entry in read(folder, source="notes") if isinstance(entry, Document)]
    assert [entry.id for entry in entries] == ["a.md", "b.txt", "sub/deep/é.txt"]
    assert [entry.title for entry in entries] == ["a.md", "b.txt", "é.txt"]
    assert entries[2].body == "text of sub/deep/é.txt"
    assert {entry.source for entry in entries} == {"notes"}


def test_hidden_files_and_links_are_passed_over(folder: Path, tmp_path: Path) -> None:
    """As `git` and `rg` do; a link out of the folder, or round in a circle, leads nowhere."""
    (tmp_path / "secret").write_text("outside")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("hidden")
    (folder / ".hidden").write_text("hidden")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    (folder / "plain").write_text("text")
    assert document(folder).id == "plain"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF\0\0", "is a binary file"),
        (b"caf\xe9", "is not UTF-8 text"),
        (b" \n", "body: must not be empty or blank"),
        (b"", "body: must not be empty or blank"),
        (b"x" * (MAX_BODY_BYTES + 1), f"file must be at most {MAX_BODY_BYTES} bytes, got {MAX_BODY_BYTES + 1}"),
    ],
)
def test_a_file_that_is_no_document_is_refused(folder: Path, content: bytes, reason: str) -> None:
    """By its name, with the reason."""
    (folder / "odd").write_bytes(content)
    assert refusal(folder) == Refused("odd", reason)


def test_a_name_that_is_not_text_is_refused(folder: Path) -> None:
    """And the refusal itself can be printed."""
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt")).write_text("text")
    refused = refusal(folder)
    assert refused.place.encode() == b"?.txt"
    assert refused.detail.startswith("id: contains a lone surrogate")


def test_an_empty_folder_holds_nothing(folder: Path) -> None:
    """That is no error."""
    assert read(folder) == []
