"""What `embed-search up` runs: Kafka and PostgreSQL unless they are given, an indexer per index, and the API.

Every child gets its settings through the environment, so that it starts exactly as it would by hand or in a container.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import httpx
import msgspec
from pydantic import SecretStr

from infra.kafka.server import KafkaServer
from infra.local.ports import LocalPorts, held_ports
from infra.postgres.roles import READER, ROLES, WRITER, make_roles, url_of_role
from infra.postgres.server import PostgresServer
from infra.setup.artifacts import HOW_TO_SET_UP, Artifacts
from infra.supervisor.data_directory import DataDirectory, open_data_directory
from infra.supervisor.ports import held_port
from infra.supervisor.service import Service, StartError
from streams.cluster import KafkaCluster, kafka_cluster
from streams.settings import Settings, variable

_PROBE_SECONDS: Final = 4.0
_INDEXER_STOP_SECONDS: Final = 30.0
_API_STOP_SECONDS: Final = 15.0
_API_READY_SECONDS: Final = 120.0
_SEMANTIC: Final = "semantic"
_LOCAL_ONLY: Final = frozenset({"kafka_bootstrap_servers", "database_url", "model_path", "data_dir"})


class LocalSystem:
    """The services of one data directory; made by `local_system`.

    Args:
        settings: what is given from outside, and how to run the rest.
        directory: where everything is kept.
        artifacts: what set-up made.
        ports: where the services listen that are not given.
    """

    def __init__(self, settings: Settings, directory: DataDirectory, artifacts: Artifacts, ports: LocalPorts) -> None:
        self.settings = settings
        self.directory = directory
        self._artifacts = artifacts
        self._ports = ports
        self._postgres = self._own_postgres()
        self._roles_made = False

    @property
    def url(self) -> str:
        """Where the API answers."""
        everywhere = self.settings.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        return f"http://{'127.0.0.1' if everywhere else self.settings.host}:{self.settings.port}"

    @property
    def bootstrap_servers(self) -> str:
        """Where Kafka answers."""
        return self.settings.kafka_bootstrap_servers or f"127.0.0.1:{self._ports.kafka}"

    @property
    def kafka(self) -> KafkaCluster:
        """The same, and how to get in."""
        return kafka_cluster(self.settings, self.bootstrap_servers)

    def services(self) -> list[Service]:
        """Everything to run, each with what it waits for.

        Raises:
            StartError: something that set-up makes is missing.
        """
        stores = self._stores()
        environment = self._environment()
        after = frozenset(service.name for service in stores)
        indexers = [
            self._indexer(index, after, environment | self._probe_port(number))
            for number, index in enumerate(self.settings.indexes)
        ]
        return [*stores, *indexers, self._api(after, environment)]

    def _stores(self) -> list[Service]:
        stores = []
        if self.settings.kafka_bootstrap_servers is None:
            stores.append(self._kafka().service())
        if self._postgres is not None:
            service = self._postgres.service()
            stores.append(msgspec.structs.replace(service, ready=partial(self._roles_are_there, self._postgres)))
        return stores

    def _kafka(self) -> KafkaServer:
        ports = self._ports
        jars = self._artifacts.kafka_jars
        return KafkaServer(self.directory.kafka, jars=jars, port=ports.kafka, controller_port=ports.controller)

    def _own_postgres(self) -> PostgresServer | None:
        if self.settings.database_url or _SEMANTIC not in self.settings.indexes:
            return None
        return PostgresServer(self.directory.postgres, port=self._ports.postgres)

    async def _roles_are_there(self, postgres: PostgresServer) -> bool:
        """Whether PostgreSQL answers and has the roles that the children connect as; they are made with the first."""
        if not await postgres.ready():
            return False
        if not self._roles_made:
            await make_roles(postgres.dsn, {role: postgres.password_of(role) for role in ROLES})
            self._roles_made = True
        return True

    def _environment(self) -> dict[str, str]:
        """The environment of every child: what was given, with the settings as they are now in effect."""
        metrics = self.directory.root / "run" / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)  # files of processes that are gone would be summed up again
        metrics.mkdir(parents=True)
        ours = {variable(field) for field in Settings.model_fields}
        return {
            **{name: value for name, value in os.environ.items() if name.upper() not in ours},
            **self._plain_settings(),
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "EMBED_SEARCH_DATA_DIR": str(self.directory.root),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }

    def _semantic_environment(self, role: str) -> dict[str, str]:
        """What those need who know the semantic index, as a role of the database that may do what they must."""
        model = self.settings.model_path or self._artifacts.model
        if not model.is_file():
            raise StartError(f"the embedding model is not at {model}: {HOW_TO_SET_UP}, or set MODEL_PATH")
        return {"MODEL_PATH": str(model), "DATABASE_URL": self._database_url(role)}

    def _database_url(self, role: str) -> str:
        if self.settings.database_url is not None:
            return self.settings.database_url.get_secret_value()
        if self._postgres is None:
            raise StartError(f"{variable('database_url')} is not set, and no PostgreSQL is run")
        return url_of_role(self._postgres.dsn, role, self._postgres.password_of(role))

    def _plain_settings(self) -> dict[str, str]:
        values = self.settings.model_dump(exclude=set(_LOCAL_ONLY), exclude_none=True)
        return {variable(name): _text(value) for name, value in values.items()}

    def _probe_port(self, number: int) -> dict[str, str]:
        """The port of each indexer: the one that is set, and those that follow."""
        first = self.settings.indexer_port
        return {} if first is None else {variable("indexer_port"): str(first + number)}

    def _indexer(self, index: str, after: frozenset[str], environment: dict[str, str]) -> Service:
        return Service(
            name=f"index-{index}",
            argv=(sys.executable, "-m", "infra.cli", "index", index),
            env=environment | (self._semantic_environment(WRITER) if index == _SEMANTIC else {}),
            after=after,
            stop_within=_INDEXER_STOP_SECONDS,
        )

    def _api(self, after: frozenset[str], environment: dict[str, str]) -> Service:
        return Service(
            name="api",
            argv=(sys.executable, "-m", "infra.cli", "api"),
            env=environment | (self._semantic_environment(READER) if _SEMANTIC in self.settings.indexes else {}),
            after=after,
            ready=self._api_is_ready,
            ready_within=_API_READY_SECONDS,
            stop_within=_API_STOP_SECONDS,
        )

    async def _api_is_ready(self) -> bool:
        try:
            async with httpx.AsyncClient(timeout=_PROBE_SECONDS, trust_env=False) as client:
                return (await client.get(f"{self.url}/readyz")).is_success
        except httpx.TransportError:
            return False


@contextmanager
def local_system(settings: Settings, artifacts: Artifacts) -> Iterator[LocalSystem]:
    """The system of the settings' data directory, which is its own for as long as the block, as its ports are.

    Args:
        settings: as `LocalSystem`.
        artifacts: as `LocalSystem`.

    Raises:
        StartError: the directory cannot be used, or is; or the API's port is taken.
    """
    with (
        open_data_directory(settings.data_dir) as directory,
        held_port(settings.port, purpose="the API", option="--port", host=settings.host),
        held_ports(directory.root / "ports.json") as ports,
    ):
        yield LocalSystem(settings, directory, artifacts, ports)


def _text(value: object) -> str:
    """A setting as its variable has it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)
