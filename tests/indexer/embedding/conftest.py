"""An embedder with the real model."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from indexer.embedding import EmbedderOptions, EmbedderProcess


@pytest.fixture
async def embedder(model_path: Path) -> AsyncIterator[EmbedderProcess]:
    """A running embedder of this test's own."""
    embedder = await EmbedderProcess.start(EmbedderOptions(model_path))
    yield embedder
    await embedder.close()
