"""The smallest engine: it keeps the length of each body, to test what all engines share."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from indexer.deadline import Clock
from indexer.generation import Generation, GenerationSettings, open_or_create_live
from indexer.segment import Segment, SegmentedWriter, SegmentFile, SegmentFileBuilder, SnapshotReader
from streams.document import Document

Lengths = npt.NDArray[np.uint32]


class LengthEngine:
    """`SegmentEngine` of body lengths; its summary is their sum."""

    def stripped(self, document: Document) -> Document:
        """As `SegmentEngine.stripped`; lengths do not give a text back."""
        return document

    def restored(self, document: Document, contents: Lengths, ordinal: int) -> Document:  # noqa: ARG002 - part of the seam
        """As `SegmentEngine.restored`."""
        return document

    def build(self, builder: SegmentFileBuilder, documents: Sequence[Document]) -> None:
        """As `SegmentEngine.build`."""
        builder.add("lengths", np.array([len(each.body) for each in documents], np.uint32))

    def open(self, file: SegmentFile) -> Lengths:
        """As `SegmentEngine.open`."""
        return file.array("lengths", np.uint32)

    def merge(self, builder: SegmentFileBuilder, sources: Sequence[Segment[Lengths]]) -> None:
        """As `SegmentEngine.merge`."""
        builder.add("lengths", np.concatenate([source.contents[source.kept] for source in sources]))

    def summarise(self, segments: Sequence[Segment[Lengths]]) -> bytes:
        """As `SegmentEngine.summarise`."""
        return str(sum(int(segment.contents[segment.kept].sum()) for segment in segments)).encode()


def new_generation(root: Path) -> Generation:
    """An empty generation."""
    return open_or_create_live(root, GenerationSettings("lengths", 1))


def open_writer(
    generation: Generation, *, buffer_bytes: int = 1 << 20, clock: Clock = time.monotonic
) -> SegmentedWriter[Lengths]:
    """Its writer."""
    return SegmentedWriter(generation, LengthEngine(), buffer_bytes=buffer_bytes, clock=clock)


def open_reader(generation: Generation) -> SnapshotReader[Lengths]:
    """A reader of it."""
    return SnapshotReader(generation.directory, LengthEngine())


def bodies(reader: SnapshotReader[Lengths]) -> dict[str, str]:
    """All live documents of the newest snapshot, in order, after a check of what the engine keeps."""
    found: dict[str, str] = {}
    snapshot = reader.current()
    for segment in snapshot.segments:
        for ordinal in np.flatnonzero(segment.kept).tolist():
            document = segment.documents.document(ordinal).document
            assert document.id == segment.documents.id(ordinal)
            assert segment.contents[ordinal] == len(document.body)
            assert document.id not in found
            found[document.id] = document.body
    assert snapshot.documents == len(found)
    assert int(snapshot.manifest.summary or b"0") == sum(map(len, found.values()))
    return found
