"""The real API over the real indexes, in which single methods can be made to fail: `python -m tests.faults.serve`.

A file in the folder `FAULTS_DIRECTORY`, named like a method, says how: `hang` holds up the threads of a local index
until the file is gone, `fail` raises what no engine is expected to raise, `slow` takes `SLOW_SECONDS` for each search,
and `long` a little more, for searches that have the time.

A file that `FAULTS_MAPPED` names is mapped by each worker, and read through, as a large index would be.
"""

import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from litestar.types import ASGIApp

from api.process.server import run
from api.process.worker import make_worker_app
from indexer.backend import BlockingSearcher, SearchBackend
from indexer.registry import LOCAL_ENGINES, indexes_directory, open_backend
from indexer.resources import MemoryGuard
from indexer.threaded import LiveSearcher, ThreadedBackend
from streams.metrics import Metrics
from streams.settings import Settings, load_settings
from streams.tracing import Tracer

SLOW_SECONDS: Final = 0.7
LONG_SECONDS: Final = 0.8

_LOOK_EVERY_SECONDS: Final = 0.02

_held: list[mmap.mmap] = []
"""What stays mapped for as long as the process runs."""


class FaultySearcher(LiveSearcher):
    """Fails as the file of its method says."""

    def __init__(self, settings: Settings, index: str, order: Path) -> None:
        super().__init__(indexes_directory(settings), index, LOCAL_ENGINES[index].searcher)
        self._order = order

    def current(self) -> BlockingSearcher:
        """The searcher to use, if nothing is wrong."""
        match self._ordered():
            case "fail":
                raise RuntimeError("injected failure")
            case "slow":
                time.sleep(SLOW_SECONDS)
            case "long":
                time.sleep(LONG_SECONDS)
            case "hang":
                while self._ordered() == "hang":
                    time.sleep(_LOOK_EVERY_SECONDS)
        return super().current()

    def _ordered(self) -> str:
        try:
            return self._order.read_text()
        except FileNotFoundError:
            return ""


def worker_app() -> ASGIApp:
    """The application of one worker: the real one but for the searchers of local indexes."""
    _held.extend(_mapped())
    return make_worker_app(_open)


def _mapped() -> Iterator[mmap.mmap]:
    name = os.environ.get("FAULTS_MAPPED")
    if name is None:
        return
    with Path(name).open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    for at in range(0, len(mapped), mmap.PAGESIZE):
        mapped[at]
    yield mapped


def _open(index: str, settings: Settings, metrics: Metrics, memory: MemoryGuard, tracer: Tracer) -> SearchBackend:
    if index not in LOCAL_ENGINES:
        return open_backend(index, settings, metrics, memory, tracer)
    order = Path(os.environ["FAULTS_DIRECTORY"]) / index
    return ThreadedBackend(FaultySearcher(settings, index, order), name=index)


if __name__ == "__main__":
    run(load_settings(), factory="tests.faults.serve:worker_app")
