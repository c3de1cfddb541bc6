"""The writer of a bm25 generation."""

from indexer.analysis import get_analyzer
from indexer.bm25.postings import Bm25Contents, Bm25Engine
from indexer.generation import Generation
from indexer.segment import SegmentedWriter


class Bm25Writer(SegmentedWriter[Bm25Contents]):
    """`BlockingWriter` of the bm25 method.

    Args:
        generation: what to write.

    Raises:
        WriterLocked: another process writes this generation.
        GenerationUnusable: the index is damaged; rebuild it.
    """

    def __init__(self, generation: Generation) -> None:
        super().__init__(generation, Bm25Engine(get_analyzer(generation.settings.analyzer)))
