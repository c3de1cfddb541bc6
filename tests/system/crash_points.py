"""Named points of an indexer at which it can be let die: `python -m tests.system.crash_points POINT N index NAME`.

The process kills itself at the N-th passage, as `kill -9` would, which random kills hardly ever hit: most of these
windows are open for less than a millisecond. The code under test knows nothing of it: functions are wrapped before the
command starts.
"""

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import msgspec

from indexer.feed import Feed, Record

SEGMENTED: Final = ("bm25", "native")
LOCAL: Final = ("bm25", "tantivy", "native")
EVERY: Final = (*LOCAL, "semantic")
REPORTING: Final = ("bm25",)
"""The one that reports records which no index can take."""


class CrashPoint(msgspec.Struct, frozen=True):
    """A place in the code.

    Attributes:
        name: as one speaks of it.
        when: before or after the call
        module: of this module's
        function: function, or method with its class.
        indexes: whose indexers pass it.
        passages: how often they do at least while they read a short history.
    """

    name: str
    when: Literal["before", "after"]
    module: str
    function: str
    indexes: tuple[str, ...] = EVERY
    passages: int = 5


POINTS: Final = {
    point.name: point
    for point in (
        CrashPoint("records-fetched", "after", "indexer.feed", "Feed.poll", passages=2),
        CrashPoint("batch-applied", "after", "indexer.threaded", "ThreadedWriter.apply", LOCAL),
        CrashPoint("segment-written", "after", "indexer.segment.file", "SegmentFileBuilder.finish", SEGMENTED),
        CrashPoint("before-directory-sync", "before", "indexer.segment.writer", "sync_directory", SEGMENTED),
        CrashPoint("before-manifest", "before", "indexer.segment.writer", "write_manifest", SEGMENTED),
        CrashPoint("manifest-unsynced", "before", "indexer.durable", "sync_directory", SEGMENTED, passages=2),
        CrashPoint("after-manifest", "after", "indexer.segment.writer", "write_manifest", SEGMENTED),
        CrashPoint("merge-installed", "after", "indexer.segment.merger", "Merger.install", SEGMENTED),
        CrashPoint("before-tantivy-commit", "before", "indexer.tantivy.writer", "TantivyWriter.commit", ("tantivy",)),
        CrashPoint("tantivy-committed", "before", "indexer.tantivy.writer", "sync_directory", ("tantivy",)),
        CrashPoint("before-tantivy-sidecar", "before", "indexer.tantivy.writer", "write_sidecar", ("tantivy",)),
        CrashPoint("after-tantivy-commit", "after", "indexer.tantivy.writer", "TantivyWriter.commit", ("tantivy",)),
        CrashPoint(
            "passages-embedded",
            "after",
            "indexer.embedding.process",
            "EmbedderProcess.embed_documents",
            ("semantic",),
            passages=1,
        ),
        CrashPoint(
            "in-transaction", "after", "indexer.semantic.writer", "SemanticWriter._advance", ("semantic",), passages=1
        ),
        CrashPoint(
            "before-postgres-commit",
            "after",
            "indexer.semantic.writer",
            "SemanticWriter._put",
            ("semantic",),
            passages=1,
        ),
        CrashPoint(
            "after-postgres-commit",
            "after",
            "indexer.semantic.writer",
            "SemanticWriter.commit",
            ("semantic",),
            passages=1,
        ),
        CrashPoint("before-dead-letter", "before", "streams.dead_letters", "DeadLetterPublisher.publish", REPORTING),
        CrashPoint("after-dead-letter", "after", "streams.dead_letters", "DeadLetterPublisher.publish", REPORTING),
        CrashPoint("before-kafka-commit", "before", "indexer.feed", "Feed.commit"),
    )
}


_IN_DATABASE: Final = "indexer.semantic.catalogue"
REBUILD_POINTS: Final = {
    point.name: point
    for point in (
        CrashPoint("mid-replay", "after", "indexer.feed", "Feed.poll", passages=30),
        CrashPoint("swap-prepared", "before", "indexer.rebuild.local", "promote", LOCAL, passages=1),
        CrashPoint("swap-renamed", "after", "indexer.generation", "_point", LOCAL, passages=1),
        CrashPoint("swap-in-database", "before", _IN_DATABASE, "SemanticCatalogue.promote", ("semantic",), 1),
        CrashPoint("swapped-in-database", "after", _IN_DATABASE, "SemanticCatalogue.promote", ("semantic",), 1),
    )
}
"""Of the command that rebuilds."""

_RECORDS_A_POLL: Final = 20
"""So that even a short history takes many commits."""


def arm(point: CrashPoint, passage: int) -> None:
    """Let this process die at the so-many-th passage of a point."""
    if point.name in POINTS:
        Feed.poll = functools.partialmethod(_poll_few, Feed.poll)  # type: ignore[assignment, method-assign]
    module = importlib.import_module(point.module)
    *owners, name = point.function.split(".")
    owner = functools.reduce(getattr, owners, module)
    setattr(owner, name, _deadly(getattr(owner, name), point.when, passage))


async def _poll_few(
    feed: Feed,
    poll: Callable[..., Awaitable[list[Record]]],
    *,
    max_records: int,
    timeout: float,  # noqa: ASYNC109 - as `Feed.poll`
) -> list[Record]:
    return await poll(feed, max_records=min(max_records, _RECORDS_A_POLL), timeout=timeout)


def _deadly(function: Callable[..., Any], when: str, passage: int) -> Callable[..., Any]:
    left = passage

    def pass_by(moment: str) -> None:
        nonlocal left
        if moment == when:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(function)
    async def in_task(*args: Any, **options: Any) -> Any:
        pass_by("before")
        result = await function(*args, **options)
        pass_by("after")
        return result

    @functools.wraps(function)
    def in_thread(*args: Any, **options: Any) -> Any:
        pass_by("before")
        result = function(*args, **options)
        pass_by("after")
        return result

    return in_task if inspect.iscoroutinefunction(function) else in_thread


if __name__ == "__main__":
    from infra.cli.main import main

    arm((POINTS | REBUILD_POINTS)[sys.argv[1]], int(sys.argv[2]))
    sys.argv[1:] = sys.argv[3:]
    main()
