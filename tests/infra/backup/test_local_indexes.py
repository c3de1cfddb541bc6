"""Backups of the local indexes, and their way back, with the real engines."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from indexer.errors import BackendUnavailable, GenerationUnusable, WriterFailed
from indexer.registry import indexes_directory
from infra.backup.errors import BackupDamaged, BackupUnusable, RestoreRefused
from infra.backup.manifest import FORMAT, Snapshot, decode_manifest, encode_manifest
from infra.backup.restoring import choose_snapshot, damage
from infra.backup.store import open_store
from infra.supervisor.file_lock import locked
from streams.change import Delete, Position
from streams.document import DocumentId
from streams.settings import Settings
from streams.watermark import Watermark
from tests.infra.backup.places import (
    LOCAL,
    backed_up,
    open_writer,
    place,
    restored,
    state,
    states,
    version,
    write,
)
from tests.system.waiting import until


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """Indexes with two commits, an update and a deletion."""
    settings = place(tmp_path / "here")
    write(settings, [version(number, number) for number in range(20)])
    write(settings, [version(3, 20), Delete(DocumentId("d/4"), Position(0, 21, 0))])
    return settings


def files_below(directory: Path) -> dict[str, tuple[int, int]]:
    """Inode and size of every file."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): (path.stat().st_ino, path.stat().st_size) for path in found}


async def test_what_comes_back_is_what_was_there(here: Settings, tmp_path: Path) -> None:
    """With its watermark, of the moment of the backup; in another folder, where it can be written on."""
    before = states(here)
    report = await backed_up(here, tmp_path / "backup")
    assert [(each.index, each.documents) for each in report.indexes] == [(index, 19) for index in LOCAL]
    write(here, [version(number, 22 + number) for number in range(30)])
    there = place(tmp_path / "there")
    await restored(there, tmp_path / "backup")
    assert states(there) == before
    write(there, [version(number, 22 + number) for number in range(30)])
    assert states(there) == states(here)
    assert not list(tmp_path.rglob("backup.pins"))


async def test_snapshots_share_what_has_not_changed(here: Settings, tmp_path: Path) -> None:
    """On one file system nothing is copied at all; and what no snapshot needs any more goes with the last that did."""
    backup = tmp_path / "backup"
    first = await backed_up(here, backup)
    sources = {inode for inode, _ in files_below(indexes_directory(here)).values()}
    segments = [inode for inode, size in files_below(backup / "files").values() if size > 600]
    assert len(sources.intersection(segments)) >= 6
    again = await backed_up(here, backup)
    assert (again.files, again.new_files) == (first.files, 0)
    write(here, [version(50, 50)], indexes=["bm25"])
    third = await backed_up(here, backup)
    assert 0 < third.new_files <= 3
    last = await backed_up(here, backup, "bm25", keep=1)
    assert last.removed == (first.snapshot, again.snapshot, third.snapshot)
    assert len(files_below(backup / "files")) == last.files < third.files
    there = place(tmp_path / "there")
    await restored(there, backup)
    assert state(there, "bm25") == state(here, "bm25")


async def test_each_snapshot_is_one_commit_beside_a_writer(tmp_path: Path) -> None:
    """However fast it commits, merges and removes files: all documents are of one version, that of the watermark."""
    here, stop = place(tmp_path / "here"), Event()
    rounds = dict.fromkeys(LOCAL, 0)

    def keep_writing(index: str) -> None:
        writer = open_writer(here, index)
        while not stop.is_set():
            offset = 10 * rounds[index]
            writer.apply([version(number, offset + number, f"round {rounds[index]}") for number in range(10)])
            writer.commit(Watermark(cluster="tests", offsets={0: offset + 10}))
            rounds[index] += 1
        writer.close()

    write(here, [version(number, number, "round 0") for number in range(10)])
    threads = [Thread(target=keep_writing, args=(index,)) for index in LOCAL]
    for thread in threads:
        thread.start()

    async def all_have_written() -> bool:
        return min(rounds.values()) > 4

    try:
        snapshots = [await backed_up(here, tmp_path / "backup") for _ in range(4)]
        await until(all_have_written, "each index was written again and again", 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for number, taken in enumerate(snapshots):
        there = place(tmp_path / f"there-{number}")
        await restored(there, tmp_path / "backup", snapshot=taken.snapshot)
        for index, (watermark, documents) in states(there).items():
            turn = watermark.offsets[0] // 10 - 1
            expected = place(tmp_path / f"expected-{number}-{index}")
            write(expected, [version(each, 10 * turn + each, f"round {turn}") for each in range(10)], indexes=[index])
            assert documents == state(expected, index)[1], (index, turn)


def flipped(path: Path) -> None:
    """One bit is another."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    replace(path, bytes(data))


def cut(path: Path) -> None:
    """The end is missing."""
    replace(path, path.read_bytes()[:-1])


def replace(path: Path, data: bytes) -> None:
    """Not in place: the index has the same file."""
    path.unlink()
    path.write_bytes(data)


def linked(path: Path) -> None:
    """A link to the same bytes elsewhere."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("harm", [flipped, cut, Path.unlink, linked])
async def test_a_damaged_backup_is_refused_by_the_name_of_the_file(
    harm: Callable[[Path], None], here: Settings, tmp_path: Path
) -> None:
    """Whichever file it is; nothing of the target is touched, forced or not."""
    backup, there = tmp_path / "backup", place(tmp_path / "there")
    write(there, [version(1, 1)])
    await backed_up(here, backup)
    before = files_below(there.data_dir)
    for path in sorted((backup / "files").iterdir()):
        spoilt = tmp_path / "spoilt"
        shutil.copytree(backup, spoilt, symlinks=True)
        harm(spoilt / "files" / path.name)
        with pytest.raises(BackupDamaged, match=f"files/{path.name} "):
            await restored(there, spoilt, force=True)
        with open_store(spoilt) as store:
            assert len(list(damage(store, choose_snapshot(store, None, ()), lambda *_: None))) == 1
        shutil.rmtree(spoilt)
    assert files_below(there.data_dir) == before


async def test_without_its_manifest_there_is_no_snapshot(here: Settings, tmp_path: Path) -> None:
    """A torn one is refused by name; the older snapshot can still be had, and no snapshot is removed meanwhile."""
    backup, there = tmp_path / "backup", place(tmp_path / "there")
    first, second = [(await backed_up(here, backup)).snapshot for _ in range(2)]
    manifest = backup / "snapshots" / f"{second}.json"
    whole = manifest.read_bytes()
    for size in (0, 10, len(whole) - 1):
        replace(manifest, whole[:size])
        with pytest.raises(BackupDamaged, match=manifest.name):
            await restored(there, backup)
    third = await backed_up(here, backup, keep=2)
    assert third.removed == ()
    assert manifest.name in third.warning
    await restored(there, backup, snapshot=first)
    with pytest.raises(BackupUnusable, match="has no snapshot"):
        await restored(there, backup, snapshot="20200101T000000Z")
    with pytest.raises(BackupUnusable, match="not the name"):
        await restored(there, backup, snapshot="../lock")


@pytest.mark.parametrize(
    "path",
    ["../escaped", "/etc/escaped", "..", "segments/..", "../../escaped", "a/b/escaped", "", "a\n", "a\\b", "./a"],
)
async def test_a_path_that_leads_elsewhere_is_refused(path: str, here: Settings, tmp_path: Path) -> None:
    """A manifest with a good checksum may still come from a bad place."""
    backup = tmp_path / "backup"
    taken = await backed_up(here, backup, "bm25")
    manifest = backup / "snapshots" / f"{taken.snapshot}.json"
    snapshot = decode_manifest(manifest.read_bytes(), "manifest")
    forged = encode_manifest(snapshot).replace(b'"manifest"', f'"{escaped(path)}"'.encode())
    resigned = encode_manifest_of(forged)
    manifest.write_bytes(resigned)
    with pytest.raises(BackupDamaged, match="not a path"):
        await restored(place(tmp_path / "there"), backup)
    assert not list(tmp_path.rglob("*escaped*"))
    assert not (tmp_path / "there").exists()


def escaped(text: str) -> str:
    """Text in JSON."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def encode_manifest_of(forged: bytes) -> bytes:
    """A manifest with the checksum that its text now has."""
    payload = forged.partition(b"\n")[2]
    return f"{FORMAT} {hashlib.sha256(payload).hexdigest()}\n".encode() + payload


@pytest.mark.parametrize("index", ["../bm25", "semantic", "", "bm25/../tantivy"])
def test_an_index_of_another_name_is_refused(index: str) -> None:
    """Its name would become a folder."""
    snapshot = Snapshot("20200101T000000Z", "0", {}, ())
    text = encode_manifest(snapshot).replace(
        b'"local": []',
        f'"local": [{{"index": "{index}", "generation": {{"index": "{index}", "format_version": 1}},'
        ' "watermark": {}, "documents": 0, "files": []}]'.encode(),
    )
    with pytest.raises(BackupDamaged, match="not a local index"):
        decode_manifest(encode_manifest_of(text), "manifest")


async def test_an_index_that_is_there_is_not_replaced_unless_forced(here: Settings, tmp_path: Path) -> None:
    """All are looked at before the first is touched; forced, the old ones are gone afterwards."""
    backup, there = tmp_path / "backup", place(tmp_path / "there")
    await backed_up(here, backup)
    write(there, [version(99, 99)], indexes=["native"])
    with pytest.raises(RestoreRefused, match=r"native holds an index: --force"):
        await restored(there, backup)
    assert not (indexes_directory(there) / "bm25").exists()
    await restored(there, backup, force=True)
    assert states(there) == states(here)
    assert not list((indexes_directory(there) / "native").glob("g000001"))


@pytest.mark.parametrize("index", LOCAL)
async def test_nothing_is_replaced_under_a_running_indexer(index: str, here: Settings, tmp_path: Path) -> None:
    """Its writer lock says that it runs."""
    backup, there = tmp_path / "backup", place(tmp_path / "there")
    await backed_up(here, backup, index)
    write(there, [version(1, 1)], indexes=[index])
    writer = open_writer(there, index)
    before = files_below(there.data_dir)
    with pytest.raises(RestoreRefused, match=f"the indexer of {index} runs"):
        await restored(there, backup, force=True)
    assert files_below(there.data_dir) == before
    writer.close()
    await restored(there, backup, force=True)
    assert state(there, index) == state(here, index)


@pytest.mark.parametrize("index", LOCAL)
async def test_a_writer_left_behind_by_a_restore_cannot_go_on(index: str, here: Settings, tmp_path: Path) -> None:
    """One that was opened in the moment of the swap notices that its generation is gone."""
    backup = tmp_path / "backup"
    await backed_up(here, backup, index)
    await restored(here, backup, force=True)
    writer = open_writer(here, index)
    shutil.rmtree(indexes_directory(here) / index / "g000002")
    with pytest.raises(WriterFailed, match="gone"):
        writer.check()


@pytest.mark.parametrize("harm", ["live", "g000001/generation.json"])
async def test_an_unusable_index_is_replaced_when_forced(harm: str, here: Settings, tmp_path: Path) -> None:
    """It is what backups are for."""
    backup = tmp_path / "backup"
    before = state(here, "bm25")
    await backed_up(here, backup, "bm25")
    (indexes_directory(here) / "bm25" / harm).write_bytes(b"{")
    with pytest.raises(RestoreRefused, match="--force"):
        await restored(here, backup)
    await restored(here, backup, force=True)
    assert state(here, "bm25") == before


async def test_what_the_settings_say_otherwise_is_refused(here: Settings, tmp_path: Path) -> None:
    """Another analyzer would mean a rebuild at the next start; a watermark of another topic means nothing."""
    backup = tmp_path / "backup"
    await backed_up(here, backup)
    with pytest.raises(RestoreRefused, match="bm25 was built with"):
        await restored(place(tmp_path / "there", bm25_stemmer="german"), backup)
    with pytest.raises(RestoreRefused, match="EMBED_SEARCH_TOPIC"):
        await restored(place(tmp_path / "there", topic="another"), backup)
    report = await restored(place(tmp_path / "there", batch_documents=7), backup)
    assert report.settings["EMBED_SEARCH_BATCH_DOCUMENTS"] == ("2000", "7")


@pytest.mark.parametrize("index", LOCAL)
async def test_a_damaged_index_is_not_backed_up(index: str, here: Settings, tmp_path: Path) -> None:
    """The file is named where it lies, and there is no snapshot."""
    home = indexes_directory(here) / index / "g000001"
    (victim, *_) = sorted(path for path in home.rglob("*") if path.suffix in {".segment", ".store"})
    flipped(victim)
    with pytest.raises(BackupUnusable, match=f"{victim}.*not backed up"):
        await backed_up(here, tmp_path / "backup")
    victim.unlink()
    with pytest.raises(GenerationUnusable, match=f"{victim} is gone"):
        await backed_up(here, tmp_path / "backup")
    with open_store(tmp_path / "backup") as store, pytest.raises(BackupUnusable, match="no snapshot"):
        choose_snapshot(store, None, ())


async def test_what_is_no_backup_is_left_alone(here: Settings, tmp_path: Path) -> None:
    """A folder with something else, an index that was not built, two at a time."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat").touch()
    with pytest.raises(BackupUnusable, match="something else"):
        await backed_up(here, tmp_path / "photos")
    with pytest.raises(BackupUnusable, match="holds no backup"):
        await restored(here, tmp_path / "photos")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackendUnavailable, match="not built"):
        await backed_up(place(tmp_path / "empty"), tmp_path / "backup")
    with locked(tmp_path / "backup" / "lock"), pytest.raises(BackupUnusable, match="wait until it is done"):
        await backed_up(here, tmp_path / "backup")
    with locked(here.data_dir / "backup.lock"), pytest.raises(BackupUnusable, match="wait until it is done"):
        await backed_up(here, tmp_path / "backup")


async def test_no_secret_is_in_a_backup(here: Settings, tmp_path: Path) -> None:
    """Settings are kept, but none that is a secret or may hold one."""
    secrets = {
        "database_url": "postgresql://me:hunter2@127.0.0.1/x",
        "otlp_endpoint": "http://me:hunter2@127.0.0.1:4318",
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_user": "me",
        "kafka_sasl_password": "hunter2",
        "kafka_ca_file": str(tmp_path / "ca.pem"),
        "kafka_bootstrap_servers": "kafka:9093",
    }
    await backed_up(place(here.data_dir, **secrets), tmp_path / "backup")
    contents = [path.read_bytes() for path in (tmp_path / "backup").rglob("*") if path.is_file()]
    assert not any(b"hunter2" in content for content in contents)
    assert any(b"EMBED_SEARCH_BM25_STEMMER" in content for content in contents)
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0


@pytest.fixture
def copies_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup on another file system: this machine has no second one that tests may write to."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("copies_only")
async def test_without_links_files_are_copied(here: Settings, tmp_path: Path) -> None:
    """The same comes back, and the backup is independent of the index's files."""
    backup, before = tmp_path / "backup", states(here)
    await backed_up(here, backup)
    assert not {inode for inode, _ in files_below(here.data_dir).values()} & {
        inode for inode, _ in files_below(backup).values()
    }
    assert (await backed_up(here, backup)).new_files == 0
    shutil.rmtree(here.data_dir)
    await restored(here, backup)
    assert states(here) == before
