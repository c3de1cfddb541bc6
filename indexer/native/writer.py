"""The writer of a native generation."""

from indexer.generation import Generation
from indexer.native.contents import NativeContents, NativeEngine
from indexer.segment import SegmentedWriter


class NativeWriter(SegmentedWriter[NativeContents]):
    """`BlockingWriter` of the native method.

    Args:
        generation: what to write.

    Raises:
        WriterLocked: another process writes this generation.
        GenerationUnusable: the index is damaged; rebuild it.
    """

    def __init__(self, generation: Generation) -> None:
        super().__init__(generation, NativeEngine())
