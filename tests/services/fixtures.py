"""Fixtures for real services, and the `services` marker on every test that uses one of them.

The same tests run either way: in containers where a Docker engine answers, else on the project's own launchers.
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from infra.kafka.server import KafkaServer
from infra.postgres.server import PostgresServer
from infra.setup.artifacts import Artifacts, cache_directory
from infra.supervisor.ports import free_port
from tests.services import containers
from tests.services.certificates import Certificates, make_certificates
from tests.services.secured_kafka import SecuredKafka, running_secured_kafka

_SERVICES = frozenset({"kafka_bootstrap", "secured_kafka", "postgres_dsn", "model_path"})
_STATEMENT_WITHIN = 30.0
_TESTS = Path(__file__).parent.parent
_ASKED_FOR = {
    "faults": (_TESTS / "faults",),
    "image": (_TESTS / "delivery" / "image",),
    "release": (_TESTS / "delivery" / "test_wheel.py", _TESTS / "documents" / "test_commands_run.py"),
}
"""Markers of what takes long, and is run only when it is asked for by its marker: all in these folders and files."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a real service, so that `-m "not services"` selects the fast tests.

    What takes long is left out unless it is asked for.
    """
    for item in items:
        if _SERVICES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.services)
        for marker, places in _ASKED_FOR.items():
            if any(place == item.path or place in item.path.parents for place in places):
                item.add_marker(marker)
    for marker in _ASKED_FOR.keys() - set(config.option.markexpr.split()):
        left_out = {item for item in items if item.get_closest_marker(marker)}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def docker_engine() -> bool:
    """Whether services run in containers."""
    return containers.docker_answers()


@pytest.fixture(scope="session")
def artifacts() -> Artifacts:
    """What `make setup` made."""
    return Artifacts(cache_directory(os.environ))


@pytest.fixture(scope="session")
def service_directory() -> Iterator[Path]:
    """A directory for the data of local services.

    Not pytest's own: it closes that to other accounts again at each start, under a PostgreSQL of another run too.
    """
    directory = Path(tempfile.mkdtemp(prefix="embed-search-tests-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def kafka_bootstrap(docker_engine: bool, artifacts: Artifacts, request: pytest.FixtureRequest) -> Iterator[str]:  # noqa: FBT001 - pytest hands fixtures over by name
    """The bootstrap address of a real broker, shared by the whole run: use topics of your own."""
    with contextlib.ExitStack() as stack:
        if docker_engine:
            yield stack.enter_context(containers.kafka())
            return
        directory: Path = request.getfixturevalue("service_directory") / "kafka"
        server = KafkaServer(directory, jars=artifacts.kafka_jars, port=free_port(), controller_port=free_port())
        yield stack.enter_context(server.running())


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates, good and bad."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def secured_kafka(artifacts: Artifacts, service_directory: Path, certificates: Certificates) -> Iterator[SecuredKafka]:
    """A real broker with TLS and passwords, never in a container: the project's own launcher runs it."""
    with running_secured_kafka(service_directory / "secured-kafka", artifacts.kafka_jars, certificates) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_dsn(docker_engine: bool, request: pytest.FixtureRequest) -> Iterator[str]:  # noqa: FBT001 - pytest hands fixtures over by name
    """The connection string of a real PostgreSQL with pgvector, shared by the whole run: see `database_dsn`."""
    with contextlib.ExitStack() as stack:
        if docker_engine:
            yield stack.enter_context(containers.postgres())
            return
        directory: Path = request.getfixturevalue("service_directory") / "postgres"
        yield stack.enter_context(PostgresServer(directory, port=free_port()).running())


@pytest.fixture
def database_dsn(postgres_dsn: str) -> Iterator[str]:
    """The connection string of a database of this test's own, empty; dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(postgres_dsn, f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}"))
    _execute(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def model_path(artifacts: Artifacts) -> Path:
    """The GGUF embedding model that set-up makes."""
    if not artifacts.model.exists():
        pytest.fail(f"there is no model at {artifacts.model}: run `make setup`")
    return artifacts.model


def _execute(dsn: str, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(dsn, timeout=_STATEMENT_WITHIN)
        try:
            await connection.execute(statement, timeout=_STATEMENT_WITHIN)
        finally:
            await connection.close(timeout=_STATEMENT_WITHIN)

    _run(execute())


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run in another thread: the event loop of this one belongs to pytest-asyncio."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
