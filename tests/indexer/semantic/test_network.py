"""The network before PostgreSQL breaks and heals; `tests/faults` does the same under load, for longer."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from indexer.backend import Query
from indexer.deadline import Deadline
from indexer.embedding import EmbedderOptions
from indexer.errors import BackendUnavailable, DeadlineExceeded
from indexer.semantic import SemanticBackend, SemanticWriter
from streams.metrics import Metrics
from tests.faults.proxy import Mode, Proxy
from tests.indexer.semantic.documents import FILES, found, put, upsert
from tests.system.waiting import until

HEALS_WITHIN_SECONDS = 10.0


@pytest.mark.parametrize("mode", ["half-open", "reset"])
async def test_a_connection_that_was_broken_is_not_used_for_ever(
    writer: SemanticWriter, database_dsn: str, model_path: Path, mode: Mode
) -> None:
    """Calls fail by their deadline while nothing comes back, and soon after it does none of them fails."""
    await put(writer, upsert("f", FILES, offset=1))
    address = urlsplit(database_dsn)
    assert address.port is not None
    with Proxy(address.port).running() as proxy:
        netloc = address.netloc.replace(f":{address.port}", f":{proxy.port}")
        through = urlunsplit(address._replace(netloc=netloc))
        backend = SemanticBackend(through, EmbedderOptions(model_path), Metrics())

        async def answers() -> bool:
            try:
                await backend.search(Query("read a file", 3, Deadline.after(0.5)))
            except (BackendUnavailable, DeadlineExceeded):
                return False
            return True

        assert await found(backend, "read a file") == ["f"]
        proxy.set_mode(mode)
        for _ in range(3):
            assert not await answers()
        proxy.set_mode("pass")
        await until(answers, "it answers again", HEALS_WITHIN_SECONDS)
        for _ in range(10):
            assert await answers()
        await backend.close()
