"""The implementations that the contract is held against."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from indexer.backend import SearchBackend
from indexer.registry import LOCAL_ENGINES
from indexer.writer import IndexWriter
from tests.indexer.contract.harness import Index, LocalIndex
from tests.indexer.semantic.contract import SemanticIndex


@pytest.fixture(params=sorted(LOCAL_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    """The name of an engine on local files."""
    name: str = request.param
    return name


@pytest.fixture(params=[*sorted(LOCAL_ENGINES), pytest.param("semantic", marks=pytest.mark.services)])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Index]:
    """An index, empty at first."""
    if request.param != "semantic":
        yield LocalIndex(request.param, tmp_path)
        return
    database_dsn, model_path = map(request.getfixturevalue, ("database_dsn", "model_path"))
    async with SemanticIndex.running(database_dsn, model_path) as semantic:
        yield semantic


@pytest.fixture
async def writer(index: Index) -> AsyncIterator[IndexWriter]:
    """The writer of the index."""
    opened = await index.open_writer()
    yield opened
    await opened.close()


@pytest.fixture
async def backend(index: Index, writer: IndexWriter) -> AsyncIterator[SearchBackend]:  # noqa: ARG001 - makes the files
    """A backend of the index, opened after its writer."""
    opened = await index.open_backend()
    yield opened
    await opened.close()
