"""Backups onto disks that fail, or lose what was not synced; and restores from sound ones."""

import contextlib
import random
import shutil
from itertools import count
from pathlib import Path

import pytest

from indexer.errors import BackendUnavailable, GenerationUnusable
from indexer.generation import live_generation
from indexer.registry import indexes_directory
from infra.backup.errors import BackupDamaged, BackupUnusable, RestoreRefused
from infra.backup.restoring import damage
from infra.backup.store import open_store
from streams.settings import Settings
from tests.disk.failing import FAULTS, FailingDisk, Fault
from tests.disk.operations import Kind, watched
from tests.disk.power_loss import Disk, Recorder, moments
from tests.infra.backup.places import State, backed_up, place, restored, state, version, write

INDEX = "bm25"
LOSSES = 4
"""States drawn after each operation."""

EXPLAINED = (BackupUnusable, BackendUnavailable, GenerationUnusable, RestoreRefused, OSError)
"""What the command shows as one line; of the file system's own errors, their text and their file."""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with an index that goes on after its first backup."""
    settings = place(tmp_path / "world" / "here")
    settings.data_dir.mkdir(parents=True)
    write(settings, [version(number, number) for number in range(6)], indexes=[INDEX])
    return tmp_path / "world"


def here(world: Path) -> Settings:
    """Where the index is."""
    return place(world / "here")


async def check_snapshots(world: Path, promised: int, scratch: Path) -> None:
    """Every snapshot that there is can be restored whole, those that were promised among them."""
    if promised == 0 and not (world / "backup" / "snapshots").is_dir():
        return
    with open_store(world / "backup", create=True) as store:
        names = store.names()
        assert len(names) >= promised
        for name in names:
            assert not list(damage(store, store.read(name), lambda *_: None))
    for name in names:
        there = place(scratch / name)
        await restored(there, world / "backup", snapshot=name)
        assert state(there, INDEX)[0].offsets[0] in (6, 8)
    shutil.rmtree(scratch, ignore_errors=True)


async def back_up_twice(world: Path, recorder: Recorder | None = None) -> int:
    """A backup, two more documents, and a backup that removes the first one's snapshot."""
    for number in (1, 2):
        await backed_up(here(world), world / "backup", INDEX, keep=1)
        if recorder:
            recorder.mark(f"backup {number}")
        if number == 1:
            write(here(world), [version(6, 6), version(0, 7)], indexes=[INDEX])
    return 2


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_the_nth_operation_of_a_backup_fails(world: Path, tmp_path: Path, fault: Fault) -> None:
    """The error is explained, older snapshots are whole, and the next backup is."""
    await backed_up(here(world), world / "backup", INDEX)
    write(here(world), [version(6, 6), version(0, 7)], indexes=[INDEX])
    for number in count(1):
        copy, disk = tmp_path / str(number), FailingDisk(number, fault)
        shutil.copytree(world, copy)
        with contextlib.suppress(*EXPLAINED), watched(copy, disk):
            await backed_up(here(copy), copy / "backup", INDEX, keep=1)
        await check_snapshots(copy, 1, tmp_path / "scratch")
        await backed_up(here(copy), copy / "backup", INDEX, keep=1)
        there = place(copy / "there")
        await restored(there, copy / "backup")
        assert state(there, INDEX) == state(here(copy), INDEX), disk.failed
        if disk.failed is None:
            assert number > 20
            break


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_the_nth_operation_of_a_restore_fails(world: Path, tmp_path: Path, fault: Fault) -> None:
    """The index that was there is, or the restored one; and the next restore works."""
    await backed_up(here(world), world / "backup", INDEX)
    saved = state(here(world), INDEX)
    write(here(world), [version(6, 6), version(0, 7)], indexes=[INDEX])
    newer = state(here(world), INDEX)
    for number in count(1):
        copy, disk = tmp_path / str(number), FailingDisk(number, fault)
        shutil.copytree(world, copy)
        with contextlib.suppress(*EXPLAINED), watched(copy, disk):
            await restored(here(copy), copy / "backup", force=True)
        assert state(here(copy), INDEX) in (saved, newer), disk.failed
        await restored(here(copy), copy / "backup", force=True)
        assert state(here(copy), INDEX) == saved, disk.failed
        if disk.failed is None:
            assert number > 20
            break


async def losses_of_backups(world: Path, tmp_path: Path, ignored: frozenset[Kind] = frozenset()) -> list[str]:
    """What is wrong with the states that losses of power leave during backups."""
    disk, recorder = Disk(world), Recorder(ignored)
    with watched(world, recorder):
        await back_up_twice(world, recorder)
    wrong, seed = [], 0
    for marks in moments(disk, recorder.done):
        for _ in range(LOSSES):
            seed += 1
            place = tmp_path / str(seed)
            disk.after_power_loss(place, random.Random(seed))
            try:
                await check_snapshots(place, min(1, len(marks)), tmp_path / "scratch")
            except (AssertionError, BackupDamaged, *EXPLAINED) as exc:
                wrong.append(f"seed {seed}, after {marks}: {exc!r}")
            shutil.rmtree(place)
    return wrong


async def test_power_is_lost_during_backups(world: Path, tmp_path: Path) -> None:
    """There is a whole snapshot from the first that was promised on."""
    assert await losses_of_backups(world, tmp_path) == []


@pytest.mark.parametrize("kind", [Kind.SYNC, Kind.SYNC_DIRECTORY])
async def test_without_syncs_there_is_not(world: Path, tmp_path: Path, kind: Kind) -> None:
    """The test above would notice if either kind was left out."""
    assert await losses_of_backups(world, tmp_path, frozenset({kind}))


async def test_power_is_lost_during_a_restore(world: Path, tmp_path: Path) -> None:
    """The index that was there is, or the restored one."""
    await backed_up(here(world), world / "backup", INDEX)
    expected: list[State] = [state(here(world), INDEX)]
    write(here(world), [version(6, 6), version(0, 7)], indexes=[INDEX])
    expected.append(state(here(world), INDEX))
    disk, recorder = Disk(world), Recorder()
    with watched(world, recorder):
        await restored(here(world), world / "backup", force=True)
        recorder.mark("restored")
    seed = 0
    for marks in moments(disk, recorder.done):
        for _ in range(LOSSES):
            seed += 1
            copy = tmp_path / str(seed)
            disk.after_power_loss(copy, random.Random(seed))
            assert live_generation(indexes_directory(here(copy)), INDEX) is not None, f"seed {seed}"
            assert state(here(copy), INDEX) in (expected[:1] if marks else expected), f"seed {seed}"
            shutil.rmtree(copy)
