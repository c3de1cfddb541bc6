"""The tantivy engine, as `indexer.registry` opens it."""

from typing import Final

from indexer.generation import GenerationSettings
from indexer.local_engine import LocalEngine
from indexer.tantivy.committed import committed_files
from indexer.tantivy.inspection import find_damage
from indexer.tantivy.schema import WRITER_LOCK, generation_settings
from indexer.tantivy.searcher import TantivySearcher
from indexer.tantivy.writer import TantivyWriter
from streams.settings import Settings


def _built_with(_: Settings) -> GenerationSettings:
    return generation_settings()


ENGINE: Final = LocalEngine(_built_with, TantivyWriter, TantivySearcher, find_damage, committed_files, WRITER_LOCK)
