"""All that an indexer may do to its index."""

from collections.abc import Awaitable, Callable

import msgspec

from indexer.repair import Repairs
from indexer.writer import IndexWriter
from streams.watermark import Watermark


class IndexHandle(msgspec.Struct, frozen=True):
    """One index, as its indexer holds it.

    Attributes:
        open_writer: opens the index's writer.
        repairs: what is ordered for it; None where nothing can be.
        set_aside: begins the index anew, given the watermark of what is to be set aside; None where that is refused.
        mend: begins the index anew if its files are damaged, and says how; empty if they are not. None where nobody
            could tell.
    """

    open_writer: Callable[[], Awaitable[IndexWriter]]
    repairs: Repairs | None = None
    set_aside: Callable[[Watermark], Awaitable[None]] | None = None
    mend: Callable[[], Awaitable[str]] | None = None
