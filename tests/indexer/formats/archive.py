"""Indexes as released versions wrote them, and what they hold: `python -m tests.indexer.formats.archive VERSION`.

A version that is not released yet is written anew when its format changes; one that is released is never touched.
"""

import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from indexer.generation import open_or_create_live
from indexer.registry import LOCAL_ENGINES
from streams.change import Change, Delete, Position, Upsert
from streams.document import Document, DocumentId
from streams.settings import Settings
from streams.watermark import Watermark

ARCHIVES: Final = Path(__file__).parent / "archives"
WATERMARK: Final = Watermark(topic="documents", cluster="archive", offsets={0: 420}, timestamp_ms=1_700_000_000_420)
DELETED: Final = 7
"""Every one of so many documents is deleted."""


def document(number: int) -> Document:
    """One of the documents; all of them together fill blocks, dense lists, and a rest."""
    words = ["common", f"of{number % 3}", f"of{number % 50}", "straße", "分かち書き", "snake_case camelCase"]
    return Document(
        id=DocumentId(f"d{number:03}"),
        title=f"Title {number}" if number % 2 else "",
        body=" ".join(words) + "\n" + "line of text\n" * (number % 5) + f"end {number}",
        source="archive",
        tags=(f"tag{number % 4}",),
        published_at=datetime(2024, 1, 1 + number % 28, tzinfo=UTC) if number % 3 else None,
        metadata={"number": number},
    )


def changes() -> list[Change]:
    """All documents, and later the deletion of some."""
    upserts = [Upsert(document(number), Position(0, number, 1_700_000_000_000 + number)) for number in range(350)]
    doomed = [upsert.id for upsert in upserts if int(upsert.id[1:]) % DELETED == 0]
    deletes = [Delete(each, Position(0, 360 + at, 1_700_000_000_360 + at)) for at, each in enumerate(doomed)]
    return [*upserts, *deletes]


def live() -> list[Document]:
    """The documents that the indexes hold."""
    return [document(number) for number in range(350) if number % DELETED]


def write(version: str) -> None:
    """Write the archive of a version with the code as it is."""
    root = ARCHIVES / version
    shutil.rmtree(root, ignore_errors=True)
    for engine in LOCAL_ENGINES.values():
        writer = engine.writer(open_or_create_live(root, engine.settings(Settings())))
        everything = changes()
        writer.apply(everything[:200])
        writer.commit(Watermark("documents", "archive", {0: 200}, 1_700_000_000_200))
        writer.apply(everything[200:])
        writer.commit(WATERMARK)
        writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
