"""Work beside a block: it ends with the block, and is missed when it ends before."""

import asyncio

from structlog.testing import capture_logs

from indexer.beside import beside
from tests.system.waiting import until

SOON = 5.0


async def test_it_ends_with_the_block() -> None:
    """And has ended when the block has; nothing is said of that."""
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    with capture_logs() as logs:
        async with beside(work()):
            await asyncio.sleep(0)
        assert ended == [1]
    assert logs == []


async def test_work_that_fails_is_missed() -> None:
    """Nobody waits for it, so that the log is where its failure is seen, while the block goes on."""

    async def work() -> None:
        raise ValueError("out of work")

    with capture_logs() as logs:

        async def told() -> bool:
            return bool(logs)

        async with beside(work()):
            await until(told, "its failure is told", seconds=SOON)
    assert [(line["log_level"], str(line["exc_info"])) for line in logs] == [("error", "out of work")]
    assert "work" in logs[0]["work"]
