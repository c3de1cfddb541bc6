"""What `up` runs, for which settings."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from infra.local.system import local_system
from infra.postgres.server import PostgresServer
from infra.setup.artifacts import Artifacts
from infra.supervisor.ports import free_port
from infra.supervisor.service import Service, StartError
from streams.settings import Settings, load_settings


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """A model that is there; nobody opens it."""
    artifacts = Artifacts(tmp_path / "cache")
    artifacts.model.parent.mkdir(parents=True)
    artifacts.model.touch()
    return artifacts


def services(tmp_path: Path, artifacts: Artifacts, **settings: object) -> dict[str, Service]:
    """The services of a system, by name."""
    chosen = Settings().model_copy(update={"port": free_port(), "data_dir": tmp_path / "data"} | settings)
    with local_system(chosen, artifacts) as system:
        return {service.name: service for service in system.services()}


def test_everything_is_run_and_waits_for_the_stores(tmp_path: Path, artifacts: Artifacts) -> None:
    """Kafka and PostgreSQL first, then an indexer an index, and the API."""
    running = services(tmp_path, artifacts)
    workers = {"index-bm25", "index-tantivy", "index-native", "index-semantic", "api"}
    assert set(running) == {"kafka", "postgres"} | workers
    assert all(running[name].after == {"kafka", "postgres"} for name in workers)


def test_an_index_that_is_left_out_needs_no_store_of_its_own(tmp_path: Path, artifacts: Artifacts) -> None:
    """Without the semantic index there is no PostgreSQL and no model."""
    artifacts.model.unlink()
    assert set(services(tmp_path, artifacts, indexes=("bm25",))) == {"kafka", "index-bm25", "api"}


def test_services_that_are_given_are_not_started(tmp_path: Path, artifacts: Artifacts) -> None:
    """`KAFKA_BOOTSTRAP_SERVERS` and `DATABASE_URL` point the children at what is there already."""
    given = {"kafka_bootstrap_servers": "kafka:9092", "database_url": SecretStr("postgresql://db/search")}
    running = services(tmp_path, artifacts, **given)
    assert {"kafka", "postgres"}.isdisjoint(running)
    environment = running["index-semantic"].env
    assert environment is not None
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
    assert environment["DATABASE_URL"] == "postgresql://db/search"


def test_each_process_gets_the_role_of_the_database_that_it_needs(tmp_path: Path, artifacts: Artifacts) -> None:
    """The API reads, one indexer writes, the others cannot even connect, and nobody has the owner's password."""
    running = services(tmp_path, artifacts)
    environments = {name: dict(service.env or {}) for name, service in running.items() if name != "postgres"}
    accounts = {
        name: urlsplit(environment["DATABASE_URL"]).username
        for name, environment in environments.items()
        if "DATABASE_URL" in environment
    }
    assert accounts == {"index-semantic": "embed_search_writer", "api": "embed_search_reader"}
    owner = PostgresServer(tmp_path / "data" / "postgres", port=1).dsn
    assert str(urlsplit(owner).password) not in str(environments)


def test_a_password_reaches_the_children_and_what_is_not_in_effect_does_not(
    tmp_path: Path, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings are handed on whole, and those of the environment that were overruled are left out."""
    monkeypatch.setenv("EMBED_SEARCH_KEYS_FILE", "overruled")
    given = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_user": "me",
        "kafka_sasl_password": SecretStr("hunter2"),
        "keys_file": None,
    }
    environment = services(tmp_path, artifacts, indexes=("bm25",), **given)["api"].env
    assert environment is not None
    assert environment["EMBED_SEARCH_KAFKA_SASL_PASSWORD"].startswith("hunter")
    assert "EMBED_SEARCH_KEYS_FILE" not in environment


def test_children_read_back_the_settings_they_are_given(
    tmp_path: Path, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every setting survives the way through the environment."""
    environment = services(tmp_path, artifacts, topic="papers", batch_age_ms=50, workers=3)["api"].env
    assert environment is not None
    for name in [name for name in os.environ if name.startswith("EMBED_SEARCH_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.topic, settings.batch_age_ms, settings.workers) == ("papers", 50, 3)
    assert settings.data_dir == tmp_path / "data"
    assert settings.model_path == artifacts.model


def test_each_indexer_has_a_port_of_its_own(tmp_path: Path, artifacts: Artifacts) -> None:
    """The one that is set, and those that follow; none unless it is set."""
    name = "EMBED_SEARCH_INDEXER_PORT"
    indexers = ("index-bm25", "index-tantivy", "index-native", "index-semantic")
    running = services(tmp_path, artifacts, indexer_port=9_100)
    assert [(running[index].env or {})[name] for index in indexers] == ["9100", "9101", "9102", "9103"]
    running = services(tmp_path, artifacts)
    assert not any(name in (service.env or {}) for service in running.values())


def test_counters_of_processes_that_are_gone_are_dropped(tmp_path: Path, artifacts: Artifacts) -> None:
    """The shared metrics directory is empty at every start."""
    stale = tmp_path / "data" / "run" / "metrics" / "counter_1.db"
    stale.parent.mkdir(parents=True)
    stale.touch()
    services(tmp_path, artifacts)
    assert stale.parent.is_dir()
    assert not stale.exists()


def test_a_taken_api_port_is_refused_before_anything_starts(tmp_path: Path, artifacts: Artifacts) -> None:
    """The message names the port and the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port} .*--port"):
            services(tmp_path, artifacts, port=port)


def test_a_missing_model_is_named_with_its_cure(tmp_path: Path, artifacts: Artifacts) -> None:
    """Nothing starts that would only fail later."""
    artifacts.model.unlink()
    with pytest.raises(StartError, match="make setup"):
        services(tmp_path, artifacts)
