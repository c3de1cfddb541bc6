"""Blocks of stored documents, unpacked, and those of them that were read lately.

A page of hits lies in nearly as many blocks as it has documents, and unpacking a block takes several times as long as
all else that a document of it needs. Documents that are found once are found again, and so are their neighbours.
"""

import struct
from array import array
from collections import OrderedDict
from itertools import accumulate, pairwise
from threading import Lock
from typing import Final

import msgspec
from isal import isal_zlib

BLOCK_BYTES: Final = 16_384
"""A block is closed once it holds this much JSON: what a fetch of one document unpacks, beyond the document itself."""

RECENT_BYTES: Final = 8 * 1024 * 1024
"""What is kept of blocks that were read lately, in a process: some 450, if their documents are small."""

_LARGEST_SHARE: Final = 16
"""A block that takes more than this part of what is kept would push out too many others."""

_LENGTH_BYTES: Final = 4

_NOT_ZLIB: Final[type[Exception]] = isal_zlib.error  # type: ignore[assignment] # the stub has the class as an instance


class Block(msgspec.Struct, frozen=True):
    """A block of documents.

    Attributes:
        data: the length of each document, then their JSON.
        starts: where each document begins, and the end of the last.
    """

    data: bytes
    starts: "array[int]"

    @classmethod
    def unpacked(cls, packed: bytes | memoryview, documents: int) -> "Block":
        """A block as it lies in a segment.

        Args:
            packed: by zlib.
            documents: how many it holds.

        Raises:
            ValueError: it is damaged.
        """
        try:
            data = isal_zlib.decompress(packed, bufsize=2 * BLOCK_BYTES)
            lengths = struct.unpack_from(f"<{documents}I", data)
        except (_NOT_ZLIB, struct.error) as exc:
            raise ValueError(f"is damaged: {exc}") from exc
        starts = array("Q", accumulate(lengths, initial=_LENGTH_BYTES * documents))
        if starts[-1] != len(data):
            raise ValueError("has another length than it says")
        return cls(data, starts)

    def document(self, place: int) -> bytes:
        """The JSON of one document."""
        return self.data[self.starts[place] : self.starts[place + 1]]

    def documents(self) -> list[bytes]:
        """The JSON of each document."""
        return [self.data[start:end] for start, end in pairwise(self.starts)]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.data) + self.starts.itemsize * len(self.starts)


class RecentBlocks:
    """The blocks that were read last, as many as fit; for any number of threads.

    Those of a segment that is gone go as the others do: when newer ones need their place.

    Args:
        limit: bytes that all of them take at most.
    """

    def __init__(self, limit: int = RECENT_BYTES) -> None:
        self._limit = limit
        self._blocks: OrderedDict[tuple[object, int], Block] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, segment: object, number: int) -> Block | None:
        """A block, if it is still here.

        Args:
            segment: stands for the segment's documents, and for nothing else as long as this object is.
            number: of the block.
        """
        with self._lock:
            block = self._blocks.get((segment, number))
            if block is not None:
                self._blocks.move_to_end((segment, number))
            return block

    def add(self, segment: object, number: int, block: Block) -> None:
        """Keep a block, in the place of those that were not read for the longest time."""
        if block.size_bytes > self._limit // _LARGEST_SHARE:
            return
        with self._lock:
            if (segment, number) in self._blocks:  # another thread has read it meanwhile
                return
            self._blocks[segment, number] = block
            self._bytes += block.size_bytes
            while self._bytes > self._limit:
                self._bytes -= self._blocks.popitem(last=False)[1].size_bytes

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0


RECENT: Final = RecentBlocks()
"""Those of this process."""


def clear_blocks() -> None:
    """Forget the blocks that are kept for the next time."""
    RECENT.clear()
