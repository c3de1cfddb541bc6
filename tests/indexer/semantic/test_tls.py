"""PostgreSQL over TLS, by the parameters of libpq in the URL: what must work, and what must not."""

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from indexer.embedding import EmbedderOptions, EmbedderProcess
from indexer.errors import BackendUnavailable, WriterFailed
from indexer.semantic import SemanticBackend, SemanticWriter
from infra.diagnosis.checks import examine
from infra.setup.artifacts import Artifacts
from infra.supervisor.ports import LOOPBACK
from streams.metrics import Metrics
from streams.settings import Settings
from tests.indexer.semantic.documents import FILES, found, put, soon, upsert
from tests.services.certificates import HOST, Certificates
from tests.services.tls_postgres import TlsPostgres, programs_with_tls, tls_front

PATIENCE = 20.0
SERVERS = ["front", *(["server"] if programs_with_tls() else [])]


@pytest.fixture
def front(postgres_dsn: str, certificates: Certificates) -> Iterator[int]:
    """The port of a front of the shared server."""
    with tls_front(urlsplit(postgres_dsn).port or 5432, certificates) as port:
        yield port


@pytest.fixture(scope="session")
def own_server(service_directory: Path, certificates: Certificates) -> Iterator[str]:
    """The URL of a server that speaks TLS itself."""
    programs = programs_with_tls()
    assert programs
    with TlsPostgres(service_directory / "tls-postgres", programs, certificates).running() as url:
        yield url


@pytest.fixture(params=SERVERS)
def secured(request: pytest.FixtureRequest) -> str:
    """The URL of each server that speaks TLS, by the name in its certificate."""
    if request.param == "server":
        return at(request.getfixturevalue("own_server"))
    return at(request.getfixturevalue("database_dsn"), port=request.getfixturevalue("front"))


def at(url: str, *, host: str = HOST, port: int | None = None, **parameters: object) -> str:
    """The same database at another host or port, with parameters."""
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return urlunsplit(parts._replace(netloc=f"{account}@{host}:{port or parts.port}", query=query))


async def is_encrypted(url: str) -> bool:
    """Connect, ask something, and tell whether it went over TLS."""
    connection = await asyncpg.connect(url, timeout=PATIENCE)
    try:
        assert await connection.fetchval("SELECT 1") == 1
        return connection._transport.get_extra_info("cipher") is not None
    finally:
        await connection.close()


async def test_the_right_authority_and_name_are_enough(secured: str, certificates: Certificates) -> None:
    """The strictest mode lets us in, and what is said is encrypted."""
    assert await is_encrypted(at(secured, sslmode="verify-full", sslrootcert=certificates.authority))


async def test_another_authority_is_refused(secured: str, certificates: Certificates) -> None:
    """By both modes that ask one, and where none is named none is believed."""
    for mode in ("verify-full", "verify-ca"):
        with pytest.raises(ssl.SSLCertVerificationError):
            await is_encrypted(at(secured, sslmode=mode, sslrootcert=certificates.stranger))
    with pytest.raises(asyncpg.ClientConfigurationError, match="root certificate"):
        await is_encrypted(at(secured, sslmode="verify-full"))


async def test_another_name_is_refused(secured: str, certificates: Certificates) -> None:
    """The authority is right, the host is not; only the strictest mode looks at it, so it is the one to take."""
    other = at(secured, host=LOOPBACK, sslmode="verify-full", sslrootcert=certificates.authority)
    with pytest.raises(ssl.SSLCertVerificationError, match=LOOPBACK):
        await is_encrypted(other)
    assert await is_encrypted(other.replace("verify-full", "verify-ca"))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_without_tls_is_refused(postgres_dsn: str, certificates: Certificates, mode: str) -> None:
    """Nothing falls back to clear text once TLS is asked for; the default of libpq would."""
    url = at(postgres_dsn, sslmode=mode, sslrootcert=certificates.authority)
    with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
        await is_encrypted(url)
    assert not await is_encrypted(url.replace(mode, "prefer"))


async def test_a_certificate_of_the_client_is_shown(postgres_dsn: str, certificates: Certificates) -> None:
    """A server that asks for one gets the one of the URL, and takes no other."""
    with tls_front(urlsplit(postgres_dsn).port or 5432, certificates, asks_for_certificate=True) as port:
        url = at(postgres_dsn, port=port, sslmode="verify-full", sslrootcert=certificates.authority)
        shown = f"{url}&sslcert={certificates.client}&sslkey={certificates.client}"
        assert await is_encrypted(shown)
        for refused in (url, shown.replace(str(certificates.client), str(certificates.stray))):
            with pytest.raises((OSError, asyncpg.PostgresError)):
                await is_encrypted(refused)


async def test_the_whole_index_works_over_tls(
    database_dsn: str, front: int, certificates: Certificates, embedder: EmbedderProcess, model_path: Path
) -> None:
    """Tables are made, documents written and searched, and `doctor` is content; a front without TLS would drop them."""
    url = at(database_dsn, port=front, sslmode="verify-full", sslrootcert=certificates.authority)
    writer = await SemanticWriter.open(url, embedder)
    await put(writer, upsert("files", FILES))
    await writer.close()
    backend = SemanticBackend(url, EmbedderOptions(model_path), Metrics())
    assert await found(backend, "read lines of a file") == ["files"]
    await backend.close()
    assert "with pgvector" in await diagnosis(url, model_path)


async def test_every_way_to_the_database_refuses_a_stranger(
    database_dsn: str, front: int, certificates: Certificates, embedder: EmbedderProcess, model_path: Path
) -> None:
    """Writer, searcher and `doctor` send it nothing, say why within seconds, and tell no password."""
    url = at(database_dsn, port=front, sslmode="verify-full", sslrootcert=certificates.stranger)
    password = str(urlsplit(url).password)
    began = time.monotonic()
    with pytest.raises(WriterFailed, match="CERTIFICATE_VERIFY_FAILED") as writer_says:
        await SemanticWriter.open(url, embedder)
    async with searching(url, model_path) as backend:
        with pytest.raises(BackendUnavailable, match="CERTIFICATE_VERIFY_FAILED") as searcher_says:
            await backend.newest(1, soon())
    told = await diagnosis(url, model_path)
    assert "CERTIFICATE_VERIFY_FAILED" in told
    assert time.monotonic() - began < PATIENCE
    assert password not in f"{writer_says.value} {searcher_says.value} {told}"


@contextlib.asynccontextmanager
async def searching(url: str, model_path: Path) -> AsyncIterator[SemanticBackend]:
    """A backend, closed afterwards."""
    backend = SemanticBackend(url, EmbedderOptions(model_path), Metrics())
    try:
        yield backend
    finally:
        await backend.close()


async def diagnosis(url: str, model_path: Path) -> str:
    """What `doctor` finds about the database."""
    settings = Settings.model_validate({"database_url": url, "model_path": model_path}, by_name=True)
    findings = await examine(settings, Artifacts(model_path.parent))
    return next(finding.detail for finding in findings if finding.subject == "postgresql")
