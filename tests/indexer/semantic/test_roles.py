"""The roles of the database: the index works under them, and what they need not do they cannot."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.semantic import SemanticBackend, SemanticWriter
from infra.postgres.roles import READER, ROLES, WRITER, make_password, make_roles, roles_script, url_of_role
from streams.metrics import Metrics
from tests.indexer.semantic.documents import FILES, WEATHER, delete, found, put, soon, upsert
from tests.system.processes import run_command

DENIED = (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)

CREATES = [
    "CREATE TABLE public.mine (a int)",
    "CREATE TEMPORARY TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
]
ESCAPES = [
    "SELECT * FROM public.others",
    "INSERT INTO public.others VALUES (2)",
    "DROP TABLE public.others",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT * FROM pg_authid",
    "ALTER ROLE embed_search_reader CONNECTION LIMIT -1",
    "DROP EXTENSION vector",
    "DROP SCHEMA embed_search CASCADE",
    "DROP TABLE embed_search.generations",
    "TRUNCATE embed_search.generations",
    "ALTER TABLE embed_search.generations ADD COLUMN a int",
]


def write_statements() -> Iterator[str]:
    """Everything that changes a table of the index, the generation's and the one they share."""
    for table in ("generations", "g000001_documents", "g000001_passages", "g000001_watermarks"):
        yield f"DELETE FROM embed_search.{table}"  # noqa: S608 - a constant
        yield f"TRUNCATE embed_search.{table}"
        yield f"DROP TABLE embed_search.{table} CASCADE"
        yield f"ALTER TABLE embed_search.{table} ADD COLUMN a int"
        yield f"LOCK TABLE embed_search.{table}"
    yield "UPDATE embed_search.generations SET live = false"
    yield "UPDATE embed_search.g000001_documents SET stored = ''"
    yield "INSERT INTO embed_search.g000001_watermarks VALUES (9, 9, '', '', 9, '', 0, 0)"
    yield "CREATE TABLE embed_search.mine (a int)"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A connection, closed afterwards."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def urls(database_dsn: str) -> Mapping[str, str]:
    """The database as each role, beside a table that is somebody else's."""
    passwords = {role: make_password() for role in ROLES}
    async with connected(database_dsn) as owner:
        await owner.execute("CREATE TABLE public.others (a int); INSERT INTO public.others VALUES (1)")
    await make_roles(database_dsn, passwords)
    return {role: url_of_role(database_dsn, role, password) for role, password in passwords.items()}


@pytest.fixture
async def written(urls: Mapping[str, str], embedder: EmbedderProcess) -> AsyncIterator[SemanticWriter]:
    """An index that the indexer's role has made and filled."""
    writer = await SemanticWriter.open(urls[WRITER], embedder)
    await put(writer, upsert("files", FILES), upsert("weather", WEATHER, offset=1))
    yield writer
    await writer.close()


async def statements_that_went_through(url: str, statements: list[str]) -> list[str]:
    """Which of the statements the role may run; each is undone."""
    allowed = []
    async with connected(url) as connection:
        # What the role's own settings forbid it may switch off: rights alone must be enough.
        await connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.execute(statement)
                allowed.append(statement)
            except DENIED:
                pass
            finally:
                await transaction.rollback()
    return allowed


async def test_the_index_works_under_its_roles(
    urls: Mapping[str, str], written: SemanticWriter, embedder: EmbedderProcess, model_path: Path
) -> None:
    """The indexer makes a generation, fills it, deletes from it and opens it again; the API finds what is in it."""
    await put(written, delete("weather", offset=2))
    again = await SemanticWriter.open(urls[WRITER], embedder)
    assert (await again.watermark()).offsets == {0: 3}
    await again.close()
    backend = SemanticBackend(urls[READER], EmbedderOptions(model_path), Metrics())
    assert await found(backend, "read lines of a file") == ["files"]
    assert [hit.id for hit in (await backend.newest(5, soon())).hits] == ["files"]
    assert (await backend.stats(soon())).documents == 1
    await backend.close()


@pytest.mark.usefixtures("written")
async def test_the_role_of_the_api_reads_and_nothing_else(urls: Mapping[str, str]) -> None:
    """Not one statement that writes, makes, drops or reads elsewhere is allowed."""
    async with connected(urls[READER]) as reader:
        assert await reader.fetchval("SELECT count(*) FROM embed_search.g000001_documents") == 2
    wishes = [*write_statements(), *CREATES, *ESCAPES, f"SET ROLE {WRITER}"]
    assert await statements_that_went_through(urls[READER], wishes) == []


async def test_the_sessions_of_the_api_are_bounded(urls: Mapping[str, str]) -> None:
    """Read-only from the first statement, no statement for ever, and not all connections of the server."""
    async with connected(urls[READER]) as reader:
        settings = {
            name: await reader.fetchval(f"SHOW {name}")
            for name in (
                "default_transaction_read_only",
                "statement_timeout",
                "idle_in_transaction_session_timeout",
            )
        }
        limit = await reader.fetchval("SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user")
    assert settings == {
        "default_transaction_read_only": "on",
        "statement_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
    }
    assert limit == 64


@pytest.mark.usefixtures("written")
async def test_the_role_of_the_indexer_keeps_to_its_schema(urls: Mapping[str, str]) -> None:
    """Outside there is nothing that it may make or read, and what the generations share it cannot remove."""
    assert await statements_that_went_through(urls[WRITER], [*CREATES, *ESCAPES, f"SET ROLE {READER}"]) == []
    async with connected(urls[WRITER]) as writer:
        limits = await writer.fetchrow(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        )
    assert not any(limits.values())


@pytest.mark.usefixtures("written")
async def test_an_indexer_makes_and_drops_generations(urls: Mapping[str, str]) -> None:
    """What a rebuild needs: another generation, the swap, and the end of the old one; the API may read the new one."""
    async with connected(urls[WRITER]) as writer:
        await writer.execute("""
            CREATE TABLE embed_search.g000002_documents (LIKE embed_search.g000001_documents INCLUDING ALL);
            UPDATE embed_search.generations SET live = false;
            INSERT INTO embed_search.generations SELECT 'g000002', settings, true FROM embed_search.generations;
            DROP TABLE embed_search.g000001_passages, embed_search.g000001_documents, embed_search.g000001_watermarks;
            DELETE FROM embed_search.generations WHERE name = 'g000001';
        """)
    async with connected(urls[READER]) as reader:
        assert await reader.fetchval("SELECT count(*) FROM embed_search.g000002_documents") == 0


async def test_an_owner_that_is_no_superuser_is_enough(
    database_dsn: str, embedder: EmbedderProcess, model_path: Path
) -> None:
    """As in a hosted database; an index from before there were roles is handed over, and twice is as good as once."""
    owner, password = f"owner_{urlsplit(database_dsn).path.lstrip('/')}", make_password()
    database = urlsplit(database_dsn).path.lstrip("/")
    async with connected(database_dsn) as superuser:
        for role in ROLES:  # cluster-wide: another test may have made them, and only their maker may change them
            await superuser.execute(f"""
                DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN;
                END IF; END $$""")
        await superuser.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD '{password}'")
        await superuser.execute(f"GRANT {WRITER}, {READER} TO {owner} WITH ADMIN OPTION")
        await superuser.execute(f"ALTER DATABASE {database} OWNER TO {owner}; CREATE EXTENSION vector")
        await superuser.execute(f"GRANT ALL ON SCHEMA public TO {owner} WITH GRANT OPTION")
    owner_url = url_of_role(database_dsn, owner, password)
    writer = await SemanticWriter.open(owner_url, embedder)
    await put(writer, upsert("files", FILES))
    await writer.close()
    passwords = {role: make_password() for role in ROLES}
    await make_roles(owner_url, passwords)
    await make_roles(owner_url, {})
    heir = await SemanticWriter.open(url_of_role(database_dsn, WRITER, passwords[WRITER]), embedder)
    await put(heir, upsert("weather", WEATHER, offset=1))
    await heir.close()
    backend = SemanticBackend(
        url_of_role(database_dsn, READER, passwords[READER]), EmbedderOptions(model_path), Metrics()
    )
    assert set(await found(backend, "read lines of a file")) == {"files", "weather"}
    await backend.close()
    async with connected(database_dsn) as superuser:
        await superuser.execute(f"REASSIGN OWNED BY {owner} TO CURRENT_USER; DROP OWNED BY {owner}; DROP ROLE {owner}")


async def test_the_command_shows_new_passwords_once(database_dsn: str) -> None:
    """New ones for new roles or when asked to, none for those that are there; and never the owner's."""
    environment = {"DATABASE_URL": database_dsn}

    def shown(*options: str) -> dict[str, str]:
        done = run_command(["roles", "--json", *options], environment)
        assert done.returncode == 0, done.stderr
        urls: dict[str, str] = json.loads(done.stdout)
        assert str(urlsplit(database_dsn).password) not in "".join(urls.values()) + done.stderr
        return urls

    first = shown("--rotate")
    assert set(first) == {WRITER, READER}
    assert shown() == {}
    for role, url in first.items():
        async with connected(url) as connection:
            assert await connection.fetchval("SELECT current_user") == role
    second = shown("--rotate")
    async with connected(second[READER]):
        pass
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(first[READER], timeout=30)


async def test_without_rights_the_command_says_so(urls: Mapping[str, str]) -> None:
    """And nothing is changed by half."""
    done = run_command(["roles"], {"DATABASE_URL": urls[WRITER]})
    assert done.returncode == 1
    assert "permission denied" in done.stderr
    assert str(urlsplit(urls[WRITER]).password) not in done.stdout + done.stderr


def test_the_script_can_be_read_before_it_is_run() -> None:
    """All of it, and no password is in it."""
    done = run_command(["roles", "--sql"], {})
    assert (done.returncode, done.stdout) == (0, roles_script())
    assert "PASSWORD" not in done.stdout


def test_a_url_keeps_all_but_the_account() -> None:
    """Hosts, parameters of TLS and the name of the database."""
    url = "postgresql://owner:p%40ss@one:1,two:2/db?sslmode=verify-full"
    assert url_of_role(url, READER, "a/b") == f"postgresql://{READER}:a%2Fb@one:1,two:2/db?sslmode=verify-full"
    assert urlunsplit(urlsplit(url)) == url
