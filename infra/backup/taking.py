"""Makes a snapshot of indexes, while indexers and searches go on.

Each index is one commit of its own: local indexes are pinned by links first, all within moments, then PostgreSQL's
snapshot is taken, and what is long comes after. What an index had not read by then is replayed from the topic after a
restore, so indexes need not stand at the same place.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from pydantic import SecretStr

from indexer.backend import IndexStats
from indexer.committed import pin_live
from indexer.errors import BackendUnavailable, IndexFault
from indexer.generation import Generation
from indexer.local_engine import LocalEngine
from indexer.registry import LOCAL_ENGINES, indexes_directory
from indexer.semantic import open_archive
from indexer.semantic.archive import TABLES, SemanticArchive
from infra.backup.errors import BackupDamaged, BackupUnusable
from infra.backup.manifest import CopiedTable, LocalIndex, SemanticIndex, Snapshot
from infra.backup.parts import StoredParts
from infra.backup.store import BackupStore, open_store
from infra.supervisor.file_lock import LockHeldError, locked
from streams.settings import SEMANTIC, Settings, variable

ShowStep = Callable[[str, float], None]
"""Told of a step's name and how much of it is done, from 0 to 1."""

_UNTOLD: Final = frozenset({"database_url", "otlp_endpoint", "kafka_sasl_password_file"})
"""Settings besides the secret ones that may hold a secret, or say where one is."""


class IndexInBackup(msgspec.Struct, frozen=True):
    """What a snapshot has of an index.

    Attributes:
        index: its name.
        documents: how many.
        bytes: what its files take in the backup, shared or not.
        watermark: how far it had read.
    """

    index: str
    documents: int
    bytes: int
    watermark: Mapping[str, Mapping[str, int]]


class BackupReport(msgspec.Struct, frozen=True):
    """What was backed up.

    Attributes:
        snapshot: its name.
        indexes: what is in it.
        files: how many it consists of.
        new_files: how many of them no older snapshot has.
        new_bytes: their sizes.
        removed: older snapshots that were removed.
        warning: why nothing could be removed; empty when it was.
        seconds: that it took.
    """

    snapshot: str
    indexes: tuple[IndexInBackup, ...]
    files: int
    new_files: int
    new_bytes: int
    removed: tuple[str, ...]
    warning: str
    seconds: float


async def back_up(
    settings: Settings, directory: Path, indexes: Sequence[str], *, keep: int | None, on_step: ShowStep
) -> BackupReport:
    """Make a snapshot; its files are those of older snapshots where nothing has changed.

    Args:
        settings: where the indexes are.
        directory: of the backup, made when missing.
        indexes: to back up.
        keep: snapshots to keep, this one included; older ones are removed. None for all.
        on_step: told of each step.

    Raises:
        BackupUnusable: another process works there, or the folder is no backup.
        BackendUnavailable: an index was not built yet or cannot be read.
        GenerationUnusable: an index is damaged; the message names the file, and there is no new snapshot.
    """
    started = time.monotonic()
    with open_store(directory, create=True) as store, _pins(settings.data_dir) as pins:
        taken = await _take(settings, store, indexes, pins, on_step)
        snapshot = msgspec.structs.replace(taken, name=_name(store.names()))
        store.seal(snapshot)
        outdated, warning = _remove(store, store.names()[:-keep] if keep else [])
        on_step("backup", 1.0)
        return BackupReport(
            snapshot.name,
            tuple(described(snapshot)),
            sum(1 for _ in snapshot.files()),
            store.new_files,
            store.new_bytes,
            outdated,
            warning,
            round(time.monotonic() - started, 3),
        )


def described(snapshot: Snapshot) -> Iterator[IndexInBackup]:
    """What a snapshot has of each index."""
    for each in snapshot.local:
        size = sum(file.size for file in each.files)
        yield IndexInBackup(each.index, each.documents, size, each.watermark.public())
    if snapshot.semantic is not None:
        tables = snapshot.semantic.tables
        size = sum(part.size for table in tables.values() for part in table.parts)
        yield IndexInBackup(SEMANTIC, tables["documents"].rows, size, snapshot.semantic.watermark.public())


def told_settings(settings: Settings) -> dict[str, str]:
    """Settings by their variables, as text, without secrets and without what may hold one."""
    values = {name: getattr(settings, name) for name in Settings.model_fields if name not in _UNTOLD}
    return {
        variable(name): ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in values.items()
        if value is not None and not isinstance(value, SecretStr)
    }


async def _take(
    settings: Settings, store: BackupStore, indexes: Sequence[str], pins: Path, on_step: ShowStep
) -> Snapshot:
    root = indexes_directory(settings)
    pinned = {
        index: pin_live(root, index, LOCAL_ENGINES[index].list_committed, pins / index)
        for index in indexes
        if index != SEMANTIC
    }
    async with contextlib.AsyncExitStack() as stack:
        archive = None
        if SEMANTIC in indexes:
            archive = await stack.enter_async_context(open_archive(_database_url(settings)))
        local = tuple(_keep_local(store, index, generation, root, on_step) for index, generation in pinned.items())
        semantic = await _keep_semantic(store, archive, on_step) if archive else None
    return Snapshot("", version("embed-search"), told_settings(settings), local, semantic)


@contextlib.contextmanager
def _pins(data_dir: Path) -> Iterator[Path]:
    """A folder beside the indexes, so that their files can be linked there; what a crash left in it is removed."""
    if not data_dir.is_dir():
        raise BackendUnavailable(f"there are no indexes under {data_dir}: set EMBED_SEARCH_DATA_DIR")
    pins = data_dir / "backup.pins"
    try:
        with locked(data_dir / "backup.lock"):
            shutil.rmtree(pins, ignore_errors=True)
            try:
                yield pins
            finally:
                shutil.rmtree(pins, ignore_errors=True)
    except LockHeldError as exc:
        raise BackupUnusable(f"process {exc.holder or 'unknown'} backs up {data_dir}: wait until it is done") from exc


def _keep_local(store: BackupStore, index: str, generation: Generation, root: Path, on_step: ShowStep) -> LocalIndex:
    """Keep the files of a pinned commit, once its own checksums say that they are sound."""
    engine = LOCAL_ENGINES[index]
    on_step(index, 0.0)
    stats = _sound(engine, generation, root / index / generation.name)
    committed = engine.list_committed(generation)
    names = sorted([*committed.replaced, *committed.immutable, "generation.json"])
    sizes = [(generation.directory / name).stat().st_size for name in names]
    files, total, done = [], max(1, sum(sizes)), 0
    for name, size in zip(names, sizes, strict=True):
        with store.writing():
            files.append(store.add(generation.directory / name, name))
        done += size
        on_step(index, done / total)
    return LocalIndex(index, generation.settings, stats.watermark, stats.documents, tuple(files))


def _sound(engine: LocalEngine, pinned: Generation, live: Path) -> IndexStats:
    """What a pinned commit holds.

    Raises:
        BackupUnusable: it is damaged; what is wrong is told of the files as they lie in the index.
    """
    try:
        reason = next((damage.reason for damage in engine.find_damage(pinned)), "")
        if not reason:
            with contextlib.closing(engine.searcher(pinned)) as searcher:
                return searcher.stats()
    except IndexFault as exc:
        reason = str(exc)
    raise BackupUnusable(f"{reason.replace(str(pinned.directory), str(live))}; a damaged index is not backed up")


async def _keep_semantic(store: BackupStore, archive: SemanticArchive, on_step: ShowStep) -> SemanticIndex:
    tables: dict[str, CopiedTable] = {}
    for table in TABLES:
        step, expected = f"{SEMANTIC} {table}", max(1, await archive.rows(table))
        with contextlib.closing(StoredParts(store, table)) as parts:
            shape = await archive.copy(table, parts, lambda rows: on_step(step, min(0.99, rows / expected)))  # noqa: B023 - called before the next
        on_step(step, 1.0)
        tables[table] = CopiedTable(shape.columns, shape.rows, tuple(parts.files))
    return SemanticIndex(archive.settings, archive.watermark, tables)


def _remove(store: BackupStore, outdated: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Remove snapshots, unless nobody can tell what the others need; the new one is made in any case."""
    try:
        store.remove(outdated)
    except BackupDamaged as exc:
        return (), f"nothing was removed, since {exc}"
    return tuple(outdated), ""


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise BackendUnavailable(f"{SEMANTIC} is in a PostgreSQL: set {variable('database_url')}")
    return settings.database_url.get_secret_value()


def _name(taken: Sequence[str]) -> str:
    """The time in UTC, later than all names that are taken; a clock that was set back makes no older snapshot."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    latest = taken[-1] if taken else ""
    base, _, number = latest.partition("-")
    return now if now > base else f"{base}-{int(number or 0) + 1}"
