"""The `semantic` method: meaning, as vectors of passages in PostgreSQL with pgvector."""

from indexer.semantic.backend import SemanticBackend
from indexer.semantic.catalogue import SemanticCatalogue
from indexer.semantic.dumping import open_dump
from indexer.semantic.passages import PassageSettings
from indexer.semantic.setting_aside import set_aside
from indexer.semantic.writer import SemanticWriter

__all__ = ["PassageSettings", "SemanticBackend", "SemanticCatalogue", "SemanticWriter", "open_dump", "set_aside"]
