"""What the compose file names exists in the code, and it starts in the right order."""

import re

import pytest

from infra.local import system
from streams.settings import METHODS
from tests.delivery.dockerfile import read_dockerfile
from tests.delivery.manifests import COMPOSE, DOCKERFILE, ROOT, Tree, compose_services, own_services
from tests.delivery.names import api_paths, asked_without_key, probe_paths, settings_of, understands

SERVICES = compose_services()
OWN = own_services()
_DEFAULT = re.compile(r"\$\{\w+:-([^}]*)\}")


def _as_started(value: str) -> str:
    """A value with the defaults of its variables."""
    return _DEFAULT.sub(lambda found: found[1], str(value))


def _seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)s", duration)
    assert found, duration
    return float(found[1])


def test_every_method_has_its_indexer() -> None:
    """And nothing but these and the API is run from our image."""
    assert OWN.keys() == {"api", *(f"index-{method}" for method in METHODS)}
    assert [OWN[f"index-{method}"]["command"] for method in METHODS] == [["index", method] for method in METHODS]


@pytest.mark.parametrize("service", OWN.values(), ids=OWN.keys())
def test_what_a_part_is_told_is_understood(service: Tree) -> None:
    """Commands by the command line, variables by the settings."""
    assert understands(service["command"])
    settings = settings_of({name: _as_started(value) for name, value in service["environment"].items()})
    assert settings.kafka_bootstrap_servers == "kafka:19092"


def test_readers_need_no_key_and_writers_do() -> None:
    """On a port that only this machine reaches."""
    settings = settings_of({name: _as_started(value) for name, value in OWN["api"]["environment"].items()})
    assert settings.anonymous_scopes == "read"
    assert all(port.startswith("127.0.0.1:") for service in SERVICES.values() for port in service.get("ports", []))


def test_health_is_asked_where_it_is_answered() -> None:
    """Of the API on its port, of an indexer on the port that it was given."""
    for name, service in OWN.items():
        _, python, flag, module, path, port = service["healthcheck"]["test"]
        assert (python, flag) == ("python", "-m")
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()
        settings = settings_of({key: _as_started(value) for key, value in service["environment"].items()})
        served, answers = (settings.port, api_paths()) if name == "api" else (settings.indexer_port, probe_paths())
        assert (int(port), f"/{path}" in answers) == (served, True)
        assert asked_without_key([f"/{path}"])


def test_parts_start_after_what_they_need_is_well() -> None:
    """Kafka before all; PostgreSQL and the model before what embeds; the indexes before the API."""
    needs = {name: service["depends_on"] for name, service in OWN.items()}
    for name, wanted in needs.items():
        for needed, how in wanted.items():
            ends = needed == "model"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")
            assert ends or "healthcheck" in SERVICES[needed], f"{name} waits for the health of {needed}"
    assert all("kafka" in needs[f"index-{method}"] for method in METHODS)
    assert needs["index-semantic"].keys() == {"kafka", "postgres", "model"}
    assert needs["api"].keys() == {f"index-{method}" for method in METHODS}


def test_parts_may_take_as_long_to_stop_as_they_do_under_up() -> None:
    """What is killed earlier loses the requests that run."""
    for name, service in OWN.items():
        wanted = system._API_STOP_SECONDS if name == "api" else system._INDEXER_STOP_SECONDS
        assert _seconds(service["stop_grace_period"]) >= wanted


@pytest.mark.parametrize("name", [*OWN, "model"])
def test_parts_are_confined(name: str) -> None:
    """Nothing to write to but the volumes, no capabilities, and bounds for everything."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    assert service["build"]["target"] in {stage.name for stage in read_dockerfile(DOCKERFILE)}
    assert ROOT / service["build"]["dockerfile"] == DOCKERFILE


def test_local_indexes_are_where_the_api_reads_them() -> None:
    """One volume for the three and the API; the fourth is in PostgreSQL, and needs the model as the API does."""
    volumes = {name: service["volumes"] for name, service in OWN.items()}
    data = next(iter(read_dockerfile(DOCKERFILE)[-1].environment[name] for name in ("EMBED_SEARCH_DATA_DIR",)))
    for name in ("api", "index-bm25", "index-tantivy", "index-native"):
        assert f"data:{data}" in volumes[name]
    for name in ("api", "index-semantic"):
        assert any(volume.endswith(":/models:ro") for volume in volumes[name])


def test_what_is_mounted_from_the_repository_is_there() -> None:
    """Configuration of what watches."""
    mounted = [str(volume) for service in SERVICES.values() for volume in service.get("volumes", [])]
    ours = [volume.split(":")[0] for volume in mounted if volume.startswith("./")]
    assert ours
    assert [path for path in ours if not (ROOT / path).exists()] == []


def test_images_are_not_whatever_is_newest() -> None:
    """Each names a version."""
    images = {service["image"] for service in SERVICES.values()} - {"embed-search"}
    assert all(re.fullmatch(r"[a-z/-]+:[\w.-]*\d[\w.-]*", image) for image in images), images


def test_profiles_add_only_what_watches() -> None:
    """`docker compose up` is the whole system."""
    profiled = {name: service.get("profiles") for name, service in SERVICES.items() if "profiles" in service}
    assert profiled == {
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
        "collector": ["tracing"],
        "jaeger": ["tracing"],
    }
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318" in COMPOSE.read_text()
