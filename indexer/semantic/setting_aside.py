"""Begins the semantic index anew, where the topic that it was built from is not there any more as it was."""

from typing import Final

import asyncpg

from indexer.errors import WriterFailed
from indexer.semantic.schema import begin_generation, changing
from streams.watermark import Watermark

_TIMEOUT_SECONDS: Final = 30.0


async def set_aside(database_url: str, judged: Watermark) -> None:
    """Put a new, empty generation live, unless another indexer was faster; the old one is removed.

    Writers of the old generation cannot commit any more, since it has no positions any more.

    Args:
        database_url: of PostgreSQL.
        judged: the watermark of the generation that is to be set aside.

    Raises:
        WriterFailed: the database does not answer, or refuses.
    """
    try:
        connection = await asyncpg.connect(database_url, timeout=_TIMEOUT_SECONDS, command_timeout=_TIMEOUT_SECONDS)
        try:
            async with changing(connection):
                await begin_generation(connection, unless=lambda live: not _is_judged(live, judged))
        finally:
            await connection.close(timeout=_TIMEOUT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as exc:
        raise WriterFailed(f"PostgreSQL does not set the index aside: {exc!r}") from exc


def _is_judged(live: Watermark, judged: Watermark) -> bool:
    """Whether the live generation is that which was judged: others may have written to it, but not begun another."""
    same = (live.topic, live.cluster, live.topic_id, live.partitions) == (
        judged.topic,
        judged.cluster,
        judged.topic_id,
        judged.partitions,
    )
    return same and live.current_ms <= judged.current_ms
