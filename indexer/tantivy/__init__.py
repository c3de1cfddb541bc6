"""The `tantivy` method: full text with stemming, phrases, fields, fuzzy words and prefixes, on the Tantivy engine."""

from indexer.tantivy.committed import committed_files
from indexer.tantivy.inspection import find_damage
from indexer.tantivy.schema import INDEX, WRITER_LOCK, generation_settings
from indexer.tantivy.searcher import TantivySearcher
from indexer.tantivy.writer import TantivyWriter

__all__ = [
    "INDEX",
    "WRITER_LOCK",
    "TantivySearcher",
    "TantivyWriter",
    "committed_files",
    "find_damage",
    "generation_settings",
]
