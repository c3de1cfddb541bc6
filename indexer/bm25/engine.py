"""The bm25 engine, as `indexer.registry` opens it."""

from typing import Final

from indexer import segment
from indexer.analysis import analyzer_name
from indexer.bm25.postings import generation_settings
from indexer.bm25.searcher import Bm25Searcher
from indexer.bm25.writer import Bm25Writer
from indexer.generation import GenerationSettings
from indexer.local_engine import LocalEngine
from streams.settings import Settings


def _built_with(settings: Settings) -> GenerationSettings:
    return generation_settings(analyzer_name(settings.bm25_stemmer, settings.bm25_stop_words))


ENGINE: Final = LocalEngine(
    _built_with,
    Bm25Writer,
    Bm25Searcher,
    segment.find_damage,
    segment.committed_files,
    segment.LOCK,
    (segment.clear_blocks,),
)
