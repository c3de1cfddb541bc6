"""Merges in the background: one thread, one merge at a time, while the writer goes on applying and committing.

The thread never sees the writer's state. It is given segments as they are when the merge begins, files that never
change and copies of their deletions, and gives back one new segment. The writer puts that in the place of its sources
between two commits, and with it every deletion that arrived meanwhile: a document that was alive when the merge began
has an ordinal in the merged segment, and is deleted there if it is deleted in its source by then. The commit that
follows makes the exchange visible at once, with one manifest.

Until then the merged file is named by no manifest: after a crash it is a stray, which the next writer removes.

A merge at rest, which nothing but searches would be the better for, goes on beside writes like any other, but is given
up as soon as there is one that the writer needs: so no commit waits for it.
"""

from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Generic, TypeVar

from indexer.segment.damage import verify
from indexer.segment.documents import merge_documents
from indexer.segment.engine import Segment, SegmentEngine, merged_ordinals
from indexer.segment.facets import merge_facets
from indexer.segment.file import SegmentFileBuilder
from indexer.segment.filters import merge_filters
from indexer.segment.manifest import SegmentEntry
from indexer.segment.merging import choose_merge, choose_resting_merge
from indexer.segment.open_segment import OpenSegment

C = TypeVar("C")


class Merger(Generic[C]):
    """Runs the merges of one writer; every method is for the writer's thread.

    Args:
        directory: of the generation.
        engine: merges its part of the segments, in the background thread.
    """

    def __init__(self, directory: Path, engine: SegmentEngine[C]) -> None:
        self._directory = directory
        self._engine = engine
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="merge")
        self._running: _Merge[C] | None = None

    @property
    def busy(self) -> bool:
        """Whether a merge was begun whose segment is not in place yet."""
        return self._running is not None

    @property
    def done(self) -> bool:
        """Whether there is a merged segment to put in place, or a failure to tell of."""
        return self._running is not None and self._running.merged.done()

    @property
    def files(self) -> frozenset[str]:
        """The file that a merge writes, or has written: no manifest names it yet, and it is no stray."""
        return frozenset({self._running.name}) if self._running else frozenset()

    def begin(self, segments: Sequence[OpenSegment[C]], name: str, *, resting: bool = False) -> bool:
        """Begin what the policy says.

        Args:
            segments: all of the writer's.
            name: of the file to write.
            resting: whether the index is at rest.

        Returns:
            whether a merge was begun; not so if all is well, or while another one runs that is not given up for it.
        """
        if self._running and (resting or not self._running.resting):
            return False
        sizes = [segment.size() for segment in segments]
        chosen = choose_resting_merge(sizes) if resting else choose_merge(sizes)
        if chosen is None or (self._running and len(segments[chosen]) == 1):  # to rewrite one is not urgent
            return False
        self._give_up()
        sources, given_up = [segment.current() for segment in segments[chosen]], Event()
        merged = self._executor.submit(self._merged, sources, self._directory / name, given_up)
        self._running = _Merge(name, list(segments[chosen]), sources, merged, given_up, resting=resting)
        return True

    def install(self, segments: list[OpenSegment[C]], *, wait: bool = False) -> None:
        """Put a merged segment in the place of its sources, if there is one.

        Args:
            segments: all of the writer's, which are changed.
            wait: for the merge that runs.

        Raises:
            SegmentDamaged: a source does not match its checksums.
            OSError: the merge failed, as any other exception of the engine's does.
        """
        merge = self._running
        if merge is None or not (wait or merge.merged.done()):
            return
        installed = merge.result()
        place = segments.index(merge.replaced[0])
        segments[place : place + len(merge.replaced)] = [installed]
        self._running = None

    def close(self) -> None:
        """Give up the merge that runs, and wait until its thread has ended: it stops at its next write."""
        self._give_up()
        self._executor.shutdown(cancel_futures=True)

    def holds(self, segment: OpenSegment[C]) -> bool:
        """Whether a segment is a source of the merge that runs, and must keep its place."""
        return self._running is not None and segment in self._running.replaced

    def _give_up(self) -> None:
        if self._running is not None:
            self._running.given_up.set()
            self._running = None

    def _merged(self, sources: Sequence[Segment[C]], path: Path, given_up: Event) -> Segment[C]:
        """The work of the background thread."""

        def go_on() -> None:
            if given_up.is_set():
                raise CancelledError

        for source in sources:
            verify([source.file], go_on)
        with SegmentFileBuilder(path, on_write=go_on) as builder:
            count = merge_documents(builder, [(source.documents, source.kept) for source in sources])
            ordinals = merged_ordinals(sources)
            merge_filters(builder, list(zip([source.filters for source in sources], ordinals, strict=True)))
            merge_facets(builder, list(zip([source.facets for source in sources], ordinals, strict=True)))
            self._engine.merge(builder, sources)
            entry = SegmentEntry(path.name, builder.finish(), count)
        return Segment.open(self._directory, entry, self._engine)


class _Merge(Generic[C]):
    """A merge that was begun: its sources in the writer's hands, and as they were then."""

    def __init__(
        self,
        name: str,
        replaced: list[OpenSegment[C]],
        sources: list[Segment[C]],
        merged: Future[Segment[C]],
        given_up: Event,
        *,
        resting: bool,
    ) -> None:
        self.name = name
        self.replaced = replaced
        self.merged = merged
        self.given_up = given_up
        self.resting = resting
        self._sources = sources

    def result(self) -> OpenSegment[C]:
        """The merged segment, in which what is deleted in the sources by now is deleted too."""
        merged = OpenSegment(self.merged.result())
        for segment, source, ordinals in zip(self.replaced, self._sources, merged_ordinals(self._sources), strict=True):
            deleted_since = segment.dead & source.kept
            if deleted_since.any():
                merged.delete(ordinals[deleted_since])
        return merged
