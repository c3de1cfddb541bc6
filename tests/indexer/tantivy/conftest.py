"""A generation on disk, and documents to put into it."""

from pathlib import Path

import pytest

from indexer.generation import Generation, open_or_create_live
from indexer.tantivy import generation_settings


@pytest.fixture
def generation(tmp_path: Path) -> Generation:
    """An empty Tantivy generation."""
    return open_or_create_live(tmp_path, generation_settings())
