"""The text files of a folder, read again for each use: a comparison must not hold a gigabyte of text beside its peers.

Fewer documents than there are come from all over the folder, and the same ones each time.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from infra.bench.errors import BenchFailed
from infra.corpus.readers import read_documents
from streams.document import MAX_BODY_BYTES, Document


class Corpus(msgspec.Struct, frozen=True):
    """What is compared on.

    Attributes:
        folder: where the files lie.
        found: text files that can be documents.
        documents: how many of them are used.
    """

    folder: Path
    found: int
    documents: int

    def read(self, limit: int | None = None) -> Iterator[Document]:
        """The documents in a fixed order; at most `limit`, spread over all of them."""
        chosen = spread(_documents(self.folder), self.found, self.documents)
        return chosen if limit is None else spread(chosen, self.documents, limit)


def survey(folder: Path, *, files: int | None) -> Corpus:
    """Find out what a folder holds.

    Args:
        folder: of text files, read as `publish` reads it.
        files: how many to use at most; None for all.

    Raises:
        BenchFailed: it holds no text.
    """
    found = sum(1 for _ in _documents(folder))
    if not found:
        raise BenchFailed(f"{folder} holds no text files")
    return Corpus(folder, found, min(found, files or found))


def spread(documents: Iterable[Document], total: int, wanted: int) -> Iterator[Document]:
    """Exactly `wanted` of `total` documents, at even distances; all of them when there are no more."""
    wanted = min(wanted, total)
    for place, document in enumerate(documents):
        if place * wanted // total != (place + 1) * wanted // total:
            yield document


def without_title(document: Document) -> Document:
    """The document as a peer that knows only text sees it."""
    return msgspec.structs.replace(document, title="")


def _documents(folder: Path) -> Iterator[Document]:
    for entry, _ in read_documents(folder, kind="dir", source="", max_body_bytes=MAX_BODY_BYTES):
        if isinstance(entry, Document):
            yield entry
