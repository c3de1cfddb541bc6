"""A process that indexes an endless stream until it is killed: `endless_writer.py ENGINE ROOT`.

It goes on from the index's watermark and prints the next offset after each commit.
"""

import sys
from itertools import count
from pathlib import Path

from indexer.generation import open_or_create_live
from indexer.registry import LOCAL_ENGINES
from streams.change import Change
from streams.settings import Settings
from tests.indexer.contract.changes import delete, upsert, watermark_after

DOCUMENTS = 40
BATCH = 6


def change_at(offset: int) -> Change:
    """The record of the stream at an offset: an update of one of few documents, now and then a tombstone."""
    name = f"d{offset * 17 % DOCUMENTS}"
    if offset % 7 == 3:
        return delete(name, offset=offset)
    return upsert(name, f"words of version {offset} " * (offset % 11 + 1), offset=offset)


def main() -> None:
    """Index until killed."""
    engine = LOCAL_ENGINES[sys.argv[1]]
    writer = engine.writer(open_or_create_live(Path(sys.argv[2]), engine.settings(Settings())))
    begin = writer.watermark().offsets.get(0, 0)
    for start in count(begin, BATCH):
        changes = [change_at(offset) for offset in range(start, start + BATCH)]
        writer.apply(changes)
        writer.commit(watermark_after(*changes))
        print(start + BATCH, flush=True)  # noqa: T201 - how the test learns of it


if __name__ == "__main__":
    main()
