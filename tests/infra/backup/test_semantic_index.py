"""Backups of the semantic index: real tables in a real PostgreSQL, filled without a model."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from indexer.errors import BackendUnavailable
from indexer.semantic import PassageSettings, SemanticSettings, open_archive
from indexer.semantic.archive import TABLES
from indexer.semantic.schema import FORMAT_VERSION, SCHEMA, live_generation, open_or_create_live
from indexer.semantic.writer import APPLICATION
from infra.backup.errors import BackupUnusable, RestoreRefused
from infra.backup.manifest import CopiedTable, SemanticIndex, Snapshot
from infra.backup.parts import StoredParts
from infra.backup.restoring import choose_snapshot, restore
from infra.backup.store import open_store
from infra.backup.taking import BackupReport, back_up
from infra.postgres.roles import READER, WRITER, make_roles, url_of_role
from streams.settings import Settings
from tests.disk.limit import largest_file
from tests.infra.backup.places import place

SETTINGS = SemanticSettings(FORMAT_VERSION, "0" * 64, "none", 3, PassageSettings())


class Database:
    """A database with a semantic index, read and written past the code under test."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.dsn = dsn
        self.settings = place(directory, database_url=dsn)
        directory.mkdir(exist_ok=True)

    async def execute(self, *statements: str, application: str = "tests") -> None:
        """Run statements in one transaction."""
        connection = await asyncpg.connect(self.dsn, server_settings={"application_name": application})
        try:
            async with connection.transaction():
                for statement in statements:
                    await connection.execute(statement)
        finally:
            await connection.close()

    async def make(self) -> None:
        """Make the tables of an empty index."""
        connection = await asyncpg.connect(self.dsn)
        await open_or_create_live(connection, SETTINGS)
        await connection.close()

    async def fill(self, first: int, last: int, *, generation: str = "g000001") -> None:
        """Documents from records first … last, two passages each, and the watermark behind them."""
        series = f"generate_series({first}, {last}) n"
        await self.execute(
            f"INSERT INTO {SCHEMA}.{generation}_documents SELECT 'd/' || n, convert_to('text ' || n, 'UTF8'), 0, n, n,"  # noqa: S608 - constants
            f" '\\x00ff', ARRAY[n, -n], CASE WHEN n % 2 = 0 THEN n END FROM {series}",
            f"INSERT INTO {SCHEMA}.{generation}_passages"  # noqa: S608 - constants
            f" SELECT 'd/' || n, o, 0, 5, ('[' || n || ',0.333,' || o || ']')::halfvec FROM {series},"
            " generate_series(0, 1) o",
            f"DELETE FROM {SCHEMA}.{generation}_watermarks",  # noqa: S608 - constants
            f"INSERT INTO {SCHEMA}.{generation}_watermarks VALUES"  # noqa: S608 - constants
            f" (0, {last + 1}, 'documents', 'tests', {last}, 'T', 1, {last})",
        )

    async def contents(self) -> dict[str, list[Any]]:
        """All rows of the live generation, as text."""
        connection = await asyncpg.connect(self.dsn)
        try:
            live = await live_generation(connection)
            assert live is not None
            queries = {
                name: f'SELECT t::text AS row FROM {getattr(live, name)} t ORDER BY t::text COLLATE "C"'  # noqa: S608 - constants
                for name in TABLES
            }
            return {name: [row["row"] for row in await connection.fetch(query)] for name, query in queries.items()}
        finally:
            await connection.close()

    async def tables(self) -> set[str]:
        """The tables of the schema and the indexes on them."""
        connection = await asyncpg.connect(self.dsn)
        try:
            rows = await connection.fetch(
                "SELECT tablename || ': ' || regexp_replace(indexdef, '.* USING ', '') AS text FROM pg_indexes"
                " WHERE schemaname = 'embed_search'"
            )
            return {row["text"] for row in rows}
        finally:
            await connection.close()


@pytest.fixture
async def here(database_dsn: str, tmp_path: Path) -> Database:
    """An index with two hundred documents."""
    database = Database(database_dsn, tmp_path / "here")
    await database.make()
    await database.fill(0, 199)
    return database


@pytest.fixture
async def there(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with nothing in it."""
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(postgres_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    yield Database(urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}")), tmp_path / "there")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def backed_up(settings: Settings, directory: Path) -> BackupReport:
    """Back up the semantic index."""
    return await back_up(settings, directory, ["semantic"], keep=None, on_step=lambda *_: None)


async def restored(settings: Settings, directory: Path, *, force: bool = False) -> None:
    """Restore the newest snapshot."""
    with open_store(directory) as store:
        snapshot = choose_snapshot(store, None, ())
        await restore(settings, store, snapshot, force=force, on_step=lambda *_: None)


async def test_what_comes_back_is_what_was_there(here: Database, there: Database, tmp_path: Path) -> None:
    """Every row of every table, vectors to the bit, the same indexes; and it can be written on."""
    report = await backed_up(here.settings, tmp_path / "backup")
    assert [(each.index, each.documents, each.watermark) for each in report.indexes] == [
        ("semantic", 200, {"documents": {"0": 200}})
    ]
    await restored(there.settings, tmp_path / "backup")
    assert await there.contents() == await here.contents()
    assert await there.tables() == await here.tables()
    await there.fill(200, 210)


async def test_data_and_watermark_are_of_one_snapshot(here: Database, there: Database, tmp_path: Path) -> None:
    """What is committed while tables are copied is in none of them."""
    before = await here.contents()
    tables = {}
    with open_store(tmp_path / "backup", create=True) as store:
        async with open_archive(here.dsn) as archive:
            for number, table in enumerate(("watermarks", "documents", "passages")):
                await here.fill(200 + 10 * number, 209 + 10 * number)
                parts = StoredParts(store, table)
                shape = await archive.copy(table, parts, lambda _: None)
                tables[table] = CopiedTable(shape.columns, shape.rows, tuple(parts.files))
            semantic = SemanticIndex(archive.settings, archive.watermark, tables)
        store.seal(Snapshot("20260101T000000Z", "0", {}, (), semantic))
    assert len((await here.contents())["documents"]) == 230
    await restored(there.settings, tmp_path / "backup")
    assert await there.contents() == before


async def test_parts_that_have_not_changed_are_shared(here: Database, there: Database, tmp_path: Path) -> None:
    """An update and new documents cost the parts that they are in."""
    await here.execute(f"DROP INDEX {SCHEMA}.g000001_passages_embedding_idx")  # else most of the time goes there
    await here.fill(200, 8_000)
    first = await backed_up(here.settings, tmp_path / "backup")
    assert (await backed_up(here.settings, tmp_path / "backup")).new_files == 0
    await here.execute(f"DELETE FROM {SCHEMA}.g000001_documents WHERE record_offset = 4000")  # noqa: S608 - constants
    await here.fill(8_001, 8_010)
    third = await backed_up(here.settings, tmp_path / "backup")
    assert 3 <= third.new_files <= 5 < first.new_files
    await restored(there.settings, tmp_path / "backup")
    assert await there.contents() == await here.contents()


async def test_an_index_that_is_there_is_replaced_only_when_forced(
    here: Database, there: Database, tmp_path: Path
) -> None:
    """In one transaction, which also removes the old one."""
    await backed_up(here.settings, tmp_path / "backup")
    await there.make()
    await there.fill(0, 3)
    before = await there.contents()
    with pytest.raises(RestoreRefused, match="has a semantic index"):
        await restored(there.settings, tmp_path / "backup")
    assert await there.contents() == before
    await restored(there.settings, tmp_path / "backup", force=True)
    assert await there.contents() == await here.contents()
    assert {name[:7] for name in await there.tables() if name.startswith("g0")} == {"g000002"}


async def test_nothing_is_replaced_under_a_running_indexer(here: Database, there: Database, tmp_path: Path) -> None:
    """Its connection says that it runs, also where it has not made its tables yet."""
    await backed_up(here.settings, tmp_path / "backup")
    await there.make()
    connection = await asyncpg.connect(there.dsn, server_settings={"application_name": APPLICATION})
    with pytest.raises(RestoreRefused, match="stop the indexers"):
        await restored(there.settings, tmp_path / "backup", force=True)
    await connection.close()
    await restored(there.settings, tmp_path / "backup", force=True)


async def test_a_restore_that_fails_on_its_way_changes_nothing(here: Database, there: Database, tmp_path: Path) -> None:
    """A table with other columns than today's, and rows with another watermark than the manifest says."""
    taken = await backed_up(here.settings, tmp_path / "backup")
    await there.make()
    await there.fill(0, 3)
    before, tables = await there.contents(), await there.tables()
    with open_store(tmp_path / "backup") as store:
        good = store.read(taken.snapshot)
        assert good.semantic is not None
        for semantic, reason in (
            (with_columns(good.semantic), "was copied with the columns"),
            (with_offset(good.semantic, 7), "have the watermark"),
        ):
            bad = Snapshot(good.name, good.version, good.settings, (), semantic)
            with pytest.raises(RestoreRefused, match=reason):
                await restore(there.settings, store, bad, force=True, on_step=lambda *_: None)
    assert await there.contents() == before
    assert await there.tables() == tables


def with_columns(semantic: SemanticIndex) -> SemanticIndex:
    """As a version would have copied it that knows another column."""
    table = semantic.tables["documents"]
    changed = msgspec.structs.replace(table, columns=(*table.columns, "another"))
    return msgspec.structs.replace(semantic, tables={**semantic.tables, "documents": changed})


def with_offset(semantic: SemanticIndex, offset: int) -> SemanticIndex:
    """With another watermark than its table of watermarks has."""
    watermark = msgspec.structs.replace(semantic.watermark, offsets={0: offset})
    return msgspec.structs.replace(semantic, watermark=watermark)


async def test_the_least_roles_suffice(here: Database, there: Database, tmp_path: Path) -> None:
    """Who may only read can back up; who may write the index can restore, and the API can read it then."""
    for database in (here, there):
        await make_roles(database.dsn, {READER: "reader", WRITER: "writer"})
    reading = place(tmp_path / "here", database_url=url_of_role(here.dsn, READER, "reader"))
    writing = place(tmp_path / "there", database_url=url_of_role(there.dsn, WRITER, "writer"))
    await backed_up(reading, tmp_path / "backup")
    await restored(writing, tmp_path / "backup")
    connection = await asyncpg.connect(url_of_role(there.dsn, READER, "reader"))
    assert await connection.fetchval(f"SELECT count(*) FROM {SCHEMA}.g000001_passages") == 400  # noqa: S608 - constants
    await connection.close()


async def test_a_full_disk_is_not_taken_for_a_lost_database(here: Database, tmp_path: Path) -> None:
    """The message is about the backup, and there is no snapshot."""
    with pytest.raises(BackupUnusable, match=r"cannot be written: File too large"), largest_file(1_000):
        await backed_up(here.settings, tmp_path / "backup")
    assert not list((tmp_path / "backup" / "snapshots").iterdir())


async def test_a_database_that_is_gone_or_empty_is_named(here: Database, there: Database, tmp_path: Path) -> None:
    """Nothing to back up; nowhere to restore to."""
    with pytest.raises(BackendUnavailable, match="not built"):
        await backed_up(there.settings, tmp_path / "backup")
    await backed_up(here.settings, tmp_path / "backup")
    with pytest.raises(RestoreRefused, match="DATABASE_URL"):
        await restored(place(tmp_path / "nowhere"), tmp_path / "backup")
    gone = place(tmp_path / "there", database_url="postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(BackendUnavailable, match="does not answer"):
        await restored(gone, tmp_path / "backup")
