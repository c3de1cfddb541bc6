"""File handles of segments that were merged away."""

import gc
from pathlib import Path

from indexer.generation import open_or_create_live
from indexer.registry import LOCAL_ENGINES
from infra.bench.building import build_index
from streams.document import Document, DocumentId
from streams.settings import Settings

HANDLES = Path("/proc/self/fd")


def test_a_segment_that_nobody_reads_is_closed_at_once(tmp_path: Path) -> None:
    """Without a garbage collection: an indexer makes a segment a second, and full collections are hours apart."""
    documents = [Document(id=DocumentId(f"d{number}"), body=f"word{number} other") for number in range(200)]
    generation, _ = build_index(LOCAL_ENGINES["bm25"], tmp_path, documents)
    gc.collect()
    gc.disable()
    try:
        before = len(list(HANDLES.iterdir()))
        for _ in range(5):
            engine = LOCAL_ENGINES["bm25"]
            searcher = engine.searcher(open_or_create_live(tmp_path, engine.settings(Settings())))
            assert searcher.stats().documents == 200
            searcher.close()
            del searcher
        assert len(list(HANDLES.iterdir())) <= before + 2, generation
    finally:
        gc.enable()
