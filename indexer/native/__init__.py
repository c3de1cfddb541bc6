"""The `native` method: what grep does, literal or regex, over trigram postings and RE2."""

from indexer.native.contents import INDEX, generation_settings, searchable_text
from indexer.native.pattern import Pattern, clear_patterns, compile_pattern
from indexer.native.searcher import NativeSearcher
from indexer.native.writer import NativeWriter

__all__ = [
    "INDEX",
    "NativeSearcher",
    "NativeWriter",
    "Pattern",
    "clear_patterns",
    "compile_pattern",
    "generation_settings",
    "searchable_text",
]
