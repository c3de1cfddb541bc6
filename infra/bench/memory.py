"""How much memory a reader needs beyond the page cache, measured in a process that does nothing else."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from indexer.backend import Query
from indexer.deadline import Deadline
from indexer.generation import open_or_create_live
from indexer.registry import LOCAL_ENGINES
from infra.bench.errors import BenchFailed
from streams.settings import Settings

_STATUS: Final = Path("/proc/self/status")
_SECONDS_A_QUERY: Final = 60.0


def reader_memory(index: str, root: Path, queries: Sequence[str], limit: int) -> int | None:
    """Anonymous memory that opening an index and running queries adds to a fresh process that has imported the engine.

    Args:
        index: name of the engine.
        root: of its files.
        queries: to run, once each.
        limit: hits of each answer.

    Returns:
        Bytes, without the pages of files that the engine maps; None where the system does not say.
    """
    if not _STATUS.exists():
        return None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_added_memory, index, root, list(queries), limit).result()


def _added_memory(index: str, root: Path, queries: list[str], limit: int) -> int:
    engine = LOCAL_ENGINES[index]
    generation = open_or_create_live(root, engine.settings(Settings()))
    before = _anonymous_bytes()
    searcher = engine.searcher(generation)
    for text in queries:
        searcher.search(Query(text, limit, Deadline.after(_SECONDS_A_QUERY)))
    after = _anonymous_bytes()
    searcher.close()
    return after - before


def _anonymous_bytes() -> int:
    """`RssAnon` of this process (proc_pid_status(5))."""
    for line in _STATUS.read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise BenchFailed(f"{_STATUS} does not say RssAnon")
