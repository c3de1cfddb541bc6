"""Local indexes without Kafka, to be backed up, and what they hold."""

from collections.abc import Sequence
from pathlib import Path

from indexer.generation import open_or_create_live
from indexer.registry import LOCAL_ENGINES, indexes_directory
from indexer.threaded import LiveSearcher
from indexer.writer import BlockingWriter
from infra.backup.restoring import RestoreReport, choose_snapshot, restore
from infra.backup.store import open_store
from infra.backup.taking import BackupReport, back_up
from streams.change import Change, Position, Upsert
from streams.document import Document, DocumentId
from streams.settings import Settings
from streams.watermark import Watermark

LOCAL = tuple(LOCAL_ENGINES)
State = tuple[Watermark, dict[str, int]]


def place(directory: Path, **settings: object) -> Settings:
    """Settings of a data directory."""
    return Settings.model_validate({"data_dir": directory} | settings, by_name=True)


def open_writer(settings: Settings, index: str) -> BlockingWriter:
    """The writer of an index, made where there is none."""
    engine = LOCAL_ENGINES[index]
    return engine.writer(open_or_create_live(indexes_directory(settings), engine.settings(settings)))


def version(number: int, offset: int, body: str = "") -> Upsert:
    """A version of a document."""
    document = Document(id=DocumentId(f"d/{number}"), title=f"Document {number}", body=body or f"version {offset}")
    return Upsert(document, Position(0, offset, offset))


def write(settings: Settings, changes: Sequence[Change], *, indexes: Sequence[str] = LOCAL) -> None:
    """Commit changes to indexes."""
    last = max(change.position.offset for change in changes)
    for index in indexes:
        writer = open_writer(settings, index)
        writer.apply(changes)
        writer.commit(Watermark(cluster="tests", offsets={0: last + 1}))
        writer.close()


def state(settings: Settings, index: str) -> State:
    """How far an index has read, and the contents of its documents as hashes."""
    live = LiveSearcher(indexes_directory(settings), index, LOCAL_ENGINES[index].searcher)
    try:
        dump = live.current().dump()
        return dump.watermark, {document.id: document.content for document in dump.documents}
    finally:
        live.close()


def states(settings: Settings) -> dict[str, State]:
    """The same of all local indexes."""
    return {index: state(settings, index) for index in LOCAL}


async def backed_up(settings: Settings, directory: Path, *indexes: str, keep: int | None = None) -> BackupReport:
    """Back up the local indexes, or some."""
    return await back_up(settings, directory, indexes or LOCAL, keep=keep, on_step=lambda *_: None)


async def restored(
    settings: Settings, directory: Path, *indexes: str, snapshot: str | None = None, force: bool = False
) -> RestoreReport:
    """Restore a snapshot."""
    with open_store(directory) as store:
        chosen = choose_snapshot(store, snapshot, indexes)
        return await restore(settings, store, chosen, force=force, on_step=lambda *_: None)
