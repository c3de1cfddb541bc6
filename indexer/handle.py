"""All that an indexer may do to its index."""

from collections.abc import Awaitable, Callable

import msgspec

from indexer.repair import Repairs
from indexer.writer import IndexWriter


class IndexHandle(msgspec.Struct, frozen=True):
    """One index, as its indexer holds it.

    Attributes:
        open_writer: opens the index's writer.
        repairs: what is ordered for it.
    """

    open_writer: Callable[[], Awaitable[IndexWriter]]
    repairs: Repairs
