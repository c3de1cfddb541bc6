"""The files of the newest commit of a Tantivy generation."""

from typing import Final

import msgspec

from indexer.committed import CommittedFiles
from indexer.errors import GenerationUnusable
from indexer.generation import Generation
from indexer.tantivy.inspection import listed_names
from indexer.tantivy.marker import SIDECAR
from indexer.tantivy.schema import MANIFEST, SEGMENTS

_MANAGED: Final = ".managed.json"
"""Tantivy's list of the files that it may remove one day; it grows before a file is written. Without it, files that are
there would stay for ever."""


def committed_files(generation: Generation) -> CommittedFiles:
    """As `indexer.committed.ListCommitted`; renames replace all of Tantivy's files but those of segments.

    The copy of the watermark is read first, and is therefore never ahead of the index.

    Raises:
        FileNotFoundError: nothing was committed yet.
        GenerationUnusable: the list of segments is damaged.
    """
    segments = generation.directory / SEGMENTS
    sidecar = (generation.directory / SIDECAR).read_bytes()
    listed = (segments / MANIFEST).read_bytes()
    managed = (segments / _MANAGED).read_bytes()
    try:
        names = listed_names(listed)
    except msgspec.DecodeError as exc:
        raise GenerationUnusable(f"{segments / MANIFEST} cannot be read: {exc}") from exc
    replaced = {SIDECAR: sidecar, f"{SEGMENTS}/{MANIFEST}": listed, f"{SEGMENTS}/{_MANAGED}": managed}
    return CommittedFiles(replaced, tuple(f"{SEGMENTS}/{name}" for name in names))
