"""Whatever an index went through, it holds what was committed, each document once."""

from pathlib import Path

import pytest

from indexer.registry import LOCAL_ENGINES
from tests.indexer.contract.histories import local_histories, semantic_histories

HISTORIES = 10
OF_SEMANTIC = 5
"""A commit takes a transaction, and a new writer its locks."""


@pytest.mark.parametrize("name", sorted(LOCAL_ENGINES))
def test_local_indexes(name: str) -> None:
    """Each history with an index of its own."""
    local_histories(name, HISTORIES)


@pytest.mark.services
def test_the_semantic_index(database_dsn: str, model_path: Path) -> None:
    """Each history with a database that is empty at first."""
    semantic_histories(database_dsn, model_path, OF_SEMANTIC)
