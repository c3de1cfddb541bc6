"""Fixtures for the tests of the indexer."""

from collections.abc import Iterator

import pytest
import structlog

from tests.indexer.bench import Log


@pytest.fixture
def log() -> Iterator[Log]:
    """The log of this test."""
    heard = Log()
    before = structlog.get_config()
    structlog.configure(processors=[heard], cache_logger_on_first_use=False)
    yield heard
    structlog.configure(**before)
