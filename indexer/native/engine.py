"""The native engine, as `indexer.registry` opens it."""

from typing import Final

from indexer import segment
from indexer.generation import GenerationSettings
from indexer.local_engine import LocalEngine
from indexer.native.contents import generation_settings
from indexer.native.pattern import clear_patterns
from indexer.native.searcher import NativeSearcher
from indexer.native.writer import NativeWriter
from streams.settings import Settings


def _built_with(_: Settings) -> GenerationSettings:
    return generation_settings()


ENGINE: Final = LocalEngine(
    _built_with,
    NativeWriter,
    NativeSearcher,
    segment.find_damage,
    segment.committed_files,
    segment.LOCK,
    (clear_patterns, segment.clear_blocks),
)
