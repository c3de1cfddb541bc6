"""Reads documents to publish from NDJSON, BEIR and folders of text files, one at a time.

What is not a valid document is handed out as a `Refused`, so that one bad line does not stop a million good ones.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import msgspec

from streams.codec import MAX_JSON_OVERHEAD, document_from_fields, parse_document
from streams.document import Document, DocumentId, check_document
from streams.errors import InvalidDocument, UndecodableRecord

Format = Literal["auto", "ndjson", "beir", "dir"]

_SNIFF_BYTES: Final = 8_192


class Refused(msgspec.Struct, frozen=True):
    """Something that cannot be published.

    Attributes:
        place: file, and line where there are lines.
        detail: why.
    """

    place: str
    detail: str


Entry = tuple[Document | Refused, int]
"""A document, or why there is none, and the bytes that were read for it."""


def read_documents(path: Path, *, kind: Format, source: str, max_body_bytes: int) -> Iterator[Entry]:
    """Read the documents of a file or folder.

    Args:
        path: a file of lines, gzipped when it ends in `.gz`, a folder of text files, or a BEIR folder.
        kind: what it holds; `auto` looks.
        source: the documents' source where they name none themselves; empty for none.
        max_body_bytes: limit of a body.

    Raises:
        OSError: the path cannot be read.
    """
    if path.is_dir() and kind in ("auto", "beir") and (corpus := beir_file(path, "corpus.jsonl")):
        path = corpus
    chosen = _detect(path) if kind == "auto" else kind
    if chosen == "dir":
        return _read_folder(path, source, max_body_bytes)
    return _read_lines(path, source, max_body_bytes, beir=chosen == "beir")


def beir_file(folder: Path, name: str) -> Path | None:
    """A file of a BEIR folder, plain or gzipped."""
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.is_file()), None)


def open_lines(path: Path) -> BinaryIO:
    """Open a file of lines, unpacking it when it ends in `.gz`."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value] # GzipFile reads like one


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of lines; a damaged archive is a file that cannot be read, like any other."""
    try:
        with open_lines(path) as file:
            yield file
    except (EOFError, zlib.error) as exc:
        raise OSError(f"{path} is damaged: {exc}") from exc


def _detect(path: Path) -> Format:
    if path.is_dir():
        return "dir"
    with _opened(path) as file:
        first = file.readline(_SNIFF_BYTES)
    return "beir" if b'"_id"' in first else "ndjson"


def _read_lines(path: Path, source: str, max_body_bytes: int, *, beir: bool) -> Iterator[Entry]:
    limit = MAX_JSON_OVERHEAD * max_body_bytes
    with _opened(path) as file:
        for number, (line, size) in enumerate(_bounded_lines(file, limit), 1):
            if line is None:
                yield Refused(f"{path}:{number}", f"line must be at most {limit} bytes, got {size}"), size
            elif line.strip():
                parsed = _parse(line, source, max_body_bytes, beir=beir)
                yield (parsed if isinstance(parsed, Document) else Refused(f"{path}:{number}", parsed)), size


def _bounded_lines(file: BinaryIO, limit: int) -> Iterator[tuple[bytes | None, int]]:
    """Lines of a file and their sizes, None in place of one beyond `limit`; never more than one in memory."""
    while line := file.readline(limit + 1):
        size = len(line)
        if size <= limit or line.endswith(b"\n"):
            yield line, size
            continue
        while (rest := file.readline(limit + 1)) and not rest.endswith(b"\n"):
            size += len(rest)
        yield None, size + len(rest)


def _parse(line: bytes, source: str, max_body_bytes: int, *, beir: bool) -> Document | str:
    try:
        if beir:
            document = document_from_fields(_beir_fields(line))
            check_document(document, max_body_bytes=max_body_bytes)
        else:
            document = parse_document(line, max_body_bytes=max_body_bytes)
    except (InvalidDocument, UndecodableRecord) as exc:
        return str(exc)
    return _with_source(document, source)


def _beir_fields(line: bytes) -> dict[str, Any]:
    """A line of a BEIR corpus: `_id`, `title`, `text`, and `metadata` that may hold anything."""
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise UndecodableRecord("not-json", f"line is not a JSON object: {exc}") from exc
    renamed = {"id": fields.pop("_id", None), "body": fields.pop("text", None), "title": fields.pop("title", "")}
    metadata = fields.pop("metadata", None)
    # BEIR's own fields go first: metadata may hold an `id` or a `title` that means something else.
    return (metadata if isinstance(metadata, dict) else {}) | fields | renamed


def _with_source(document: Document, source: str) -> Document:
    return msgspec.structs.replace(document, source=source) if source and not document.source else document


def _read_folder(folder: Path, source: str, max_body_bytes: int) -> Iterator[Entry]:
    for file in _text_files(folder):
        name = file.relative_to(folder).as_posix()
        place = name.encode(errors="replace").decode()  # a name that is not UTF-8 must not break who prints it
        try:
            size = file.stat().st_size
            if size > max_body_bytes:
                yield Refused(place, f"file must be at most {max_body_bytes} bytes, got {size}"), 0
                continue
            read = _read_file(file, name, source, max_body_bytes)
            yield (read if isinstance(read, Document) else Refused(place, read)), size
        except OSError as exc:
            yield Refused(place, f"cannot be read: {exc.strerror}"), 0


def _text_files(folder: Path) -> Iterator[Path]:
    """Files below a folder in a fixed order, without hidden ones, as `rg` and `git` see a tree."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _text_files(entry)
        elif entry.is_file():
            yield entry


def _read_file(file: Path, name: str, source: str, max_body_bytes: int) -> Document | str:
    data = file.read_bytes()
    if b"\0" in data[:_SNIFF_BYTES]:
        return "is a binary file"
    try:
        document = Document(id=DocumentId(name), title=file.name, body=data.decode(), source=source)
        check_document(document, max_body_bytes=max_body_bytes)
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    except InvalidDocument as exc:
        return str(exc)
    return document
