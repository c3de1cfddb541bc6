"""The watermark of a Tantivy index: a reserved document inside the commit, and a copy beside the index.

tantivy-py has no commit payload, so the watermark is a document of its own that each commit replaces. It appears
with the data or not at all, also when Tantivy loses the segment of a failed commit without saying so. The copy is
written only after a commit was read back, so it is never ahead of the index; it is what counts when a
damaged index holds no marker, or two.
"""

from pathlib import Path
from typing import Final

import msgspec
import tantivy

from indexer.durable import replace_file
from indexer.errors import GenerationUnusable
from indexer.generation import Generation
from indexer.tantivy.schema import ID, STORED
from streams.watermark import Watermark

MARKER_ID: Final = "\0watermark"
"""No document can have this id: ids hold no NUL."""

SIDECAR: Final = "watermark.json"

_decoder = msgspec.json.Decoder(Watermark)


def marker_document(watermark: Watermark) -> tantivy.Document:
    """The document that carries a watermark."""
    document = tantivy.Document()
    document.add_text(ID, MARKER_ID)
    document.add_bytes(STORED, msgspec.json.encode(watermark))
    return document


def committed_watermarks(schema: tantivy.Schema, searcher: tantivy.Searcher) -> list[Watermark]:
    """The watermarks in a snapshot: one, unless nothing was committed yet or a commit went wrong."""
    query = tantivy.Query.term_query(schema, ID, MARKER_ID)
    hits = searcher.search(query, limit=2).hits
    return [_decoder.decode(searcher.doc(address)[STORED][0]) for _, address in hits]


def write_sidecar(generation: Generation, watermark: Watermark) -> None:
    """Keep the watermark of a commit that was read back."""
    replace_file(_sidecar(generation), msgspec.json.encode(watermark))


def was_committed(generation: Generation) -> bool:
    """Whether the generation has seen a commit."""
    return _sidecar(generation).exists()


def recover_watermark(generation: Generation, schema: tantivy.Schema, searcher: tantivy.Searcher) -> Watermark:
    """The watermark to replay from.

    Raises:
        GenerationUnusable: the index holds documents but nothing says how far it had read.
    """
    committed = committed_watermarks(schema, searcher)
    if len(committed) == 1:
        return committed[0]
    try:
        return _decoder.decode(_sidecar(generation).read_bytes())
    except FileNotFoundError as exc:
        if searcher.num_docs == 0:
            return Watermark()
        raise GenerationUnusable(f"{generation.directory} has lost its watermark; rebuild the index") from exc
    except (OSError, msgspec.DecodeError) as exc:
        raise GenerationUnusable(f"{_sidecar(generation)} cannot be read: {exc}") from exc


def _sidecar(generation: Generation) -> Path:
    return generation.directory / SIDECAR
