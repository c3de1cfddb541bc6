"""Checks a snapshot, and puts its indexes in place: all of it is staged before anything that is there is touched.

Order: read every file through; see that the target may be replaced; copy the local indexes aside; load the tables in
one transaction and commit; swap the local pointers. Each index is replaced in one step of its own, so a crash leaves
each as it was or restored, with its own watermark, and the same command finishes the rest.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from indexer.errors import GenerationUnusable, WriterLocked
from indexer.generation import Generation
from indexer.semantic import check_loadable, open_loading
from indexer.semantic.archive import TABLES
from infra.backup.errors import BackupDamaged, BackupUnusable, RestoreRefused
from infra.backup.manifest import SemanticIndex, Snapshot
from infra.backup.store import BackupStore
from infra.backup.taking import IndexInBackup, ShowStep, described, told_settings
from infra.backup.target import LocalTarget, choose_target, install, stage, writer_locked_out
from streams.settings import SEMANTIC, Settings, variable


class RestoreReport(msgspec.Struct, frozen=True):
    """What was restored.

    Attributes:
        snapshot: its name.
        indexes: that were put in place.
        settings: that differ: by variable, what the backup was made with and what is set now.
        seconds: that it took.
    """

    snapshot: str
    indexes: tuple[IndexInBackup, ...]
    settings: Mapping[str, tuple[str, str]]
    seconds: float


def choose_snapshot(store: BackupStore, name: str | None, indexes: Sequence[str]) -> Snapshot:
    """A snapshot, the newest unless one is named, with some of its indexes, or all.

    Raises:
        BackupUnusable: there is none, or it lacks an index.
        BackupDamaged: its manifest is.
    """
    names = store.names()
    if not names:
        raise BackupUnusable("the backup has no snapshot")
    snapshot = store.read(name or names[-1])
    if absent := [index for index in indexes if index not in snapshot.indexes]:
        raise BackupUnusable(f"the snapshot {snapshot.name} has no {', '.join(absent)}")
    return snapshot.only(tuple(indexes)) if indexes else snapshot


def damage(store: BackupStore, snapshot: Snapshot, on_step: ShowStep) -> Iterator[str]:
    """Read every file of a snapshot through, and say of each that is damaged what is wrong."""
    files = list({file.sha256: (index, file) for index, file in snapshot.files()}.values())
    total, done = max(1, sum(file.size for _, file in files)), 0
    for index, file in files:
        try:
            store.check(index, file)
        except BackupDamaged as exc:
            yield str(exc)
        done += file.size
        on_step("checking", done / total)


async def restore(
    settings: Settings, store: BackupStore, snapshot: Snapshot, *, force: bool, on_step: ShowStep
) -> RestoreReport:
    """Put the indexes of a snapshot where the settings say; their indexers must be stopped.

    Args:
        settings: where to.
        store: that the snapshot is in.
        snapshot: with the indexes to restore.
        force: replace indexes that are there.
        on_step: told of each step.

    Raises:
        BackupDamaged: naming the first file that is; nothing was touched.
        RestoreRefused: the target is not one for this snapshot; nothing was touched.
        BackendUnavailable: PostgreSQL does not answer.
    """
    started = time.monotonic()
    for reason in damage(store, snapshot, on_step):
        raise BackupDamaged(reason)
    _check_topic(settings, snapshot)
    targets = [choose_target(settings, saved, force=force) for saved in snapshot.local]
    with contextlib.ExitStack() as locks:
        for target in targets:
            locks.enter_context(writer_locked_out(target))
        await _put_in_place(settings, store, snapshot, targets, force=force, on_step=on_step)
    seconds = round(time.monotonic() - started, 3)
    return RestoreReport(snapshot.name, tuple(described(snapshot)), _differences(settings, snapshot), seconds)


async def _put_in_place(
    settings: Settings,
    store: BackupStore,
    snapshot: Snapshot,
    targets: Sequence[LocalTarget],
    *,
    force: bool,
    on_step: ShowStep,
) -> None:
    database_url = settings.database_url.get_secret_value() if settings.database_url else ""
    with _refusals():
        if snapshot.semantic is not None:
            if not database_url:
                raise RestoreRefused(f"{SEMANTIC} goes to a PostgreSQL: set {variable('database_url')}")
            await check_loadable(database_url, snapshot.semantic.settings, over=force)
        staged = _stage_all(store, snapshot, targets, on_step)
        if snapshot.semantic is not None:
            await _load(store, snapshot.semantic, database_url, force=force, on_step=on_step)
        for generation, target in zip(staged, targets, strict=True):
            install(generation, target)


def _stage_all(
    store: BackupStore, snapshot: Snapshot, targets: Sequence[LocalTarget], on_step: ShowStep
) -> list[Generation]:
    staged = []
    for saved, target in zip(snapshot.local, targets, strict=True):
        progress = _Progress(on_step, saved.index, sum(file.size for file in saved.files))
        staged.append(stage(store, saved, target, progress.more))
    return staged


async def _load(
    store: BackupStore, semantic: SemanticIndex, database_url: str, *, force: bool, on_step: ShowStep
) -> None:
    parts = sum(len(table.parts) for table in semantic.tables.values())
    progress = _Progress(on_step, SEMANTIC, parts)
    async with open_loading(database_url, semantic.settings, over=force, watermark=semantic.watermark) as loading:
        for name in TABLES:
            table = semantic.tables[name]
            for part in table.parts:
                await loading.load(name, table.columns, store.read_gzipped(SEMANTIC, part))
                progress.more(1)
        on_step(f"{SEMANTIC} indexes", 0.0)
    on_step(f"{SEMANTIC} indexes", 1.0)


class _Progress:
    def __init__(self, on_step: ShowStep, step: str, total: int) -> None:
        self._on_step = on_step
        self._step = step
        self._total = max(1, total)
        self._done = 0

    def more(self, count: int) -> None:
        self._done += count
        self._on_step(self._step, self._done / self._total)


def _check_topic(settings: Settings, snapshot: Snapshot) -> None:
    """A watermark is only meaningful for the topic that it was read from; the indexer looks at the cluster as well."""
    marks = [each.watermark for each in snapshot.local] + ([snapshot.semantic.watermark] if snapshot.semantic else [])
    for watermark in marks:
        if watermark.offsets and watermark.topic != settings.topic:
            raise RestoreRefused(
                f"the snapshot was built from the topic {watermark.topic!r}, and {variable('topic')} says"
                f" {settings.topic!r}"
            )


def _differences(settings: Settings, snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    now = told_settings(settings)
    names = sorted(snapshot.settings.keys() & now.keys())
    return {name: (snapshot.settings[name], now[name]) for name in names if snapshot.settings[name] != now[name]}


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What the indexes say of the target, as refusals."""
    try:
        yield
    except (GenerationUnusable, WriterLocked) as exc:
        raise RestoreRefused(str(exc)) from exc
