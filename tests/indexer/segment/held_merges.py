"""An engine whose merges are in the hands of a test."""

import threading
from collections.abc import Sequence

from indexer.segment import Segment, SegmentFileBuilder
from tests.indexer.segment.engine import LengthEngine, Lengths

PATIENCE = 30.0


class HeldEngine(LengthEngine):
    """An engine whose merges wait until they may go on; what they do then is the test's.

    Attributes:
        begun: whether a merge was.
        may_go_on: whether merges may.
        merges: how many segments each had that was begun.
    """

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        self.merges: list[int] = []

    def merge(self, builder: SegmentFileBuilder, sources: Sequence[Segment[Lengths]]) -> None:
        """As `SegmentEngine.merge`, later."""
        self.merges.append(len(sources))
        self.begun.set()
        assert self.may_go_on.wait(PATIENCE)
        super().merge(builder, sources)
