"""What a native segment holds beside the documents: their raw text, and which trigrams it has when case is folded.

    posting.*       see `indexer.segment.postings`; key: a trigram of the folded text; one column, the ordinal
    native.text     searchable text of each document in UTF-8, one after another            uint8
    native.starts   where each begins, and the end of the last                              uint64, documents + 1
    native.titles   bytes of the title that the text begins with; 0 when there is none      uint32
    native.foreign  1 for a text that holds a long s or a Kelvin sign, else 0               uint8

The searchable text is the title, a newline and the body, or the body alone when there is no title. Stored documents
lack both, and get them back from there.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from indexer.errors import GenerationUnusable
from indexer.generation import GenerationSettings
from indexer.native.folding import FOREIGN_FORMS, fold_text
from indexer.native.literal import Texts
from indexer.native.plan import TRIGRAM_BYTES
from indexer.segment import (
    PostingChunk,
    PostingLists,
    Segment,
    SegmentFile,
    SegmentFileBuilder,
    merge_chunks,
    merged_ordinals,
    write_postings,
)
from streams.document import Document

INDEX: Final = "native"

FORMAT_VERSION: Final = 6
"""Of a native generation: segment files, manifest and case folding.

1: raw text, postings of trigrams of the folded text, as RE2 of Unicode 14 folds.
2: packed postings; `native.foreign`, so that RE2 need not search for a literal whose letters have ASCII forms only.
3: stored documents without title and body, which are in the text.
4: segment files of format 2.
5: segment files of format 3.
6: columns of values, for facets.
"""

_COLUMNS: Final = 1
_NEWLINE: Final = b"\n"


def generation_settings() -> GenerationSettings:
    """What a native generation is built with."""
    return GenerationSettings(INDEX, FORMAT_VERSION)


def searchable_text(document: Document) -> str:
    """The text of a document that patterns are matched against."""
    return f"{document.title}\n{document.body}" if document.title else document.body


class NativeContents:
    """The native sections of a segment.

    Args:
        file: of the segment.

    Attributes:
        postings: by trigram.
    """

    def __init__(self, file: SegmentFile) -> None:
        self.postings = PostingLists(file)
        self._text = file.section("native.text", np.uint8)
        self._starts = file.section("native.starts", np.uint64)
        self._titles = file.section("native.titles", np.uint32)
        self._foreign = file.section("native.foreign", np.uint8)
        documents_fit = len(self._starts) - 1 == len(self._titles) == len(self._foreign)
        if not documents_fit or self._starts.last() != len(self._text):
            raise GenerationUnusable(f"{file.path}: native sections that do not fit each other")

    @property
    def titles(self) -> npt.NDArray[np.uint32]:
        """Bytes of each title, shape (documents,), uint32."""
        return self._titles.whole()

    @property
    def foreign(self) -> npt.NDArray[np.uint8]:
        """1 for a text with characters beyond ASCII that fold to ASCII letters, shape (documents,), uint8."""
        return self._foreign.whole()

    @property
    def starts(self) -> npt.NDArray[np.uint64]:
        """Byte where each text begins, and the end of the last, shape (documents + 1,), uint64."""
        return self._starts.whole()

    def texts_of(self, ordinals: npt.NDArray[np.uint32]) -> Texts:
        """The texts for a kernel that reads those of some documents, and no other."""
        self._text.touch_rows(self.starts, ordinals)
        return Texts(self._text.unchecked, self.starts)

    def text_of(self, ordinal: int) -> memoryview:
        """A document's text in UTF-8, not copied."""
        return self._text.row(self._starts, ordinal)

    def lengths(self, ordinals: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """Bytes of documents' texts, shape (n,), int64."""
        starts = self.starts
        lengths: npt.NDArray[np.int64] = (starts[ordinals + np.uint32(1)] - starts[ordinals]).astype(np.int64)
        return lengths


class NativeEngine:
    """`SegmentEngine` of the native method."""

    def stripped(self, document: Document) -> Document:
        """As `SegmentEngine.stripped`; the text is not stored twice."""
        return msgspec.structs.replace(document, title="", body="")

    def restored(self, document: Document, contents: NativeContents, ordinal: int) -> Document:
        """As `SegmentEngine.restored`."""
        text, title = bytes(contents.text_of(ordinal)), int(contents.titles[ordinal])
        body = text[title + len(_NEWLINE) :] if title else text
        return msgspec.structs.replace(document, title=text[:title].decode(), body=body.decode())

    def build(self, builder: SegmentFileBuilder, documents: Sequence[Document]) -> None:
        """As `SegmentEngine.build`."""
        lengths = np.empty(len(documents), np.int64)
        foreign = np.empty(len(documents), np.uint8)
        with builder.section("native.text", np.uint8) as section:
            for ordinal, document in enumerate(documents):
                text = searchable_text(document)
                foreign[ordinal] = any(each in text for each in FOREIGN_FORMS)
                data = text.encode()
                lengths[ordinal] = len(data)
                section.write(data)
        _add_starts(builder, lengths)
        builder.add("native.titles", np.array([len(each.title.encode()) for each in documents], np.uint32))
        builder.add("native.foreign", foreign)
        write_postings(builder, [_trigram_postings(documents)], columns=_COLUMNS)

    def open(self, file: SegmentFile) -> NativeContents:
        """As `SegmentEngine.open`."""
        return NativeContents(file)

    def merge(self, builder: SegmentFileBuilder, sources: Sequence[Segment[NativeContents]]) -> None:
        """As `SegmentEngine.merge`."""
        with builder.section("native.text", np.uint8) as section:
            for source in sources:
                for ordinal in np.flatnonzero(source.kept).tolist():
                    section.write(bytes(source.contents.text_of(ordinal)))
        lengths = [np.diff(source.contents.starts.astype(np.int64))[source.kept] for source in sources]
        _add_starts(builder, np.concatenate(lengths))
        builder.add("native.titles", np.concatenate([source.contents.titles[source.kept] for source in sources]))
        builder.add("native.foreign", np.concatenate([source.contents.foreign[source.kept] for source in sources]))
        lists = [source.contents.postings for source in sources]
        chunks = merge_chunks(list(zip(lists, merged_ordinals(sources), strict=True)))
        write_postings(builder, chunks, columns=_COLUMNS)

    def summarise(self, segments: Sequence[Segment[NativeContents]]) -> bytes:  # noqa: ARG002 - part of the seam
        """As `SegmentEngine.summarise`; ranking needs nothing global."""
        return b""


def _add_starts(builder: SegmentFileBuilder, lengths: npt.NDArray[np.int64]) -> None:
    builder.add("native.starts", np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint64))


def _trigram_postings(documents: Sequence[Document]) -> PostingChunk:
    pairs = np.concatenate([np.empty(0, np.uint64), *_trigram_pairs(documents)])
    pairs.sort()
    ordinals = (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return PostingChunk(pairs >> np.uint64(32), ordinals[:, np.newaxis])


def _trigram_pairs(documents: Sequence[Document]) -> Iterator[npt.NDArray[np.uint64]]:
    """The distinct trigrams of each document, each over the ordinal."""
    for ordinal, document in enumerate(documents):
        data = np.frombuffer(fold_text(searchable_text(document)), np.uint8).astype(np.uint32)
        if len(data) >= TRIGRAM_BYTES:
            trigrams = data[:-2] << 16 | data[1:-1] << 8 | data[2:]
            trigrams.sort()  # and not `np.unique`, which hashes: three times slower here
            distinct = trigrams[np.flatnonzero(np.diff(trigrams, prepend=~trigrams[:1]))]
            yield distinct.astype(np.uint64) << np.uint64(32) | np.uint64(ordinal)
