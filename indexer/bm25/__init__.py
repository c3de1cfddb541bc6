"""The `bm25` method: exact Okapi BM25 over code-aware terms, incremental, equal to `rank_bm25.BM25Okapi`."""

from indexer.bm25.postings import INDEX, generation_settings
from indexer.bm25.searcher import Bm25Searcher
from indexer.bm25.writer import Bm25Writer

__all__ = ["INDEX", "Bm25Searcher", "Bm25Writer", "generation_settings"]
