"""The `semantic` method: meaning, as vectors of passages in PostgreSQL with pgvector."""

from indexer.semantic.archive import open_archive
from indexer.semantic.backend import SemanticBackend
from indexer.semantic.catalogue import SemanticCatalogue
from indexer.semantic.dumping import open_dump
from indexer.semantic.loading import check_loadable, open_loading
from indexer.semantic.passages import PassageSettings
from indexer.semantic.schema import SemanticSettings
from indexer.semantic.setting_aside import set_aside
from indexer.semantic.writer import SemanticWriter

__all__ = [
    "PassageSettings",
    "SemanticBackend",
    "SemanticCatalogue",
    "SemanticSettings",
    "SemanticWriter",
    "check_loadable",
    "open_archive",
    "open_dump",
    "open_loading",
    "set_aside",
]
