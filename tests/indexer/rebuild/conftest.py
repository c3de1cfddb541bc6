"""The stores that rebuilds work on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from indexer.rebuild.catalogue import Catalogue
from indexer.registry import open_catalogue
from streams.settings import Settings


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Local indexes in a folder of the test's; `semantic` in a database of its own."""
    settings = Settings().model_copy(update={"data_dir": tmp_path})
    if "semantic" not in request.node.name:
        return settings
    database_dsn, model_path = map(request.getfixturevalue, ("database_dsn", "model_path"))
    return Settings.model_validate(
        settings.model_dump() | {"database_url": database_dsn, "model_path": model_path}, by_name=True
    )


@pytest.fixture(params=["bm25", pytest.param("semantic", marks=pytest.mark.services)])
async def catalogue(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Catalogue]:
    """The generations of an index that has none."""
    async with open_catalogue(request.param, settings) as opened:
        yield opened
