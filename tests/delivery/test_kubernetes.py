"""What the Kubernetes manifests name exists in the code, and how they treat the parts fits what these do."""

from collections.abc import Iterator

import pytest

from api.process.server import GRACE_SECONDS
from indexer.run import indexer_options
from infra.local import system
from streams.cluster import kafka_cluster
from streams.settings import METHODS, Settings
from tests.delivery.dockerfile import read_dockerfile
from tests.delivery.manifests import (
    DOCKERFILE,
    KUBERNETES,
    Tree,
    documents,
    kustomizations,
    literals,
    named,
    own_containers,
    resources,
    steps,
)
from tests.delivery.names import api_paths, asked_without_key, probe_paths, settings_of, understands

CONTAINERS = {container["name"]: (pod, container) for pod, container in own_containers()}
BASE = literals(documents(KUBERNETES / "base" / "kustomization.yaml")[0], "configMapGenerator")
PRODUCTION = documents(KUBERNETES / "overlays" / "production" / "kustomization.yaml")[0]
IMAGE = {stage.name: stage for stage in read_dockerfile(DOCKERFILE)}["with-model"]
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def _variables(container: Tree) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def _probes(container: Tree) -> Iterator[tuple[str, Tree]]:
    return ((kind, container[kind]["httpGet"]) for kind in PROBES if kind in container)


def _ports(container: Tree) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def test_every_part_has_its_container() -> None:
    """The API and the local indexes in one pod, the semantic indexer in another."""
    assert CONTAINERS.keys() == {"api", *(f"index-{method}" for method in METHODS)}
    together = [container["name"] for container in CONTAINERS["api"][0]["containers"]]
    assert together == ["api", "index-bm25", "index-tantivy", "index-native"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_a_part_is_told_is_understood(name: str) -> None:
    """Commands by the command line, variables by the settings; the port is the one that it then listens on."""
    _, container = CONTAINERS[name]
    assert understands(container["args"])
    settings = settings_of(BASE | _variables(container))
    listens = settings.port if name == "api" else settings.indexer_port
    assert list(_ports(container).values()) == [listens]


@pytest.mark.parametrize("name", CONTAINERS)
def test_probes_ask_what_is_answered_without_a_key(name: str) -> None:
    """And never /health, which tells of what a restart does not mend."""
    _, container = CONTAINERS[name]
    answered = api_paths() if name == "api" else probe_paths()
    asked = {kind: probe["path"] for kind, probe in _probes(container)}
    assert set(asked.values()) <= answered
    assert asked_without_key(asked.values())
    assert asked["livenessProbe"] == "/livez"
    assert asked["startupProbe"] == ("/startupz" if name == "api" else "/livez")
    assert {probe["port"] for _, probe in _probes(container)} <= _ports(container).keys()


def test_searches_go_on_without_kafka() -> None:
    """The indexers beside an API are not ready while Kafka is away, and must not take it out of service with them."""
    pod, _ = CONTAINERS["api"]
    ready = [container["name"] for container in pod["containers"] if "readinessProbe" in container]
    assert ready == ["api"]


def test_pods_may_take_as_long_to_stop_as_their_parts() -> None:
    """The pause in which no new requests come any more, and then what the parts need."""
    for pod, container in own_containers():
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        wanted = system._API_STOP_SECONDS if container["name"] == "api" else system._INDEXER_STOP_SECONDS
        assert pod["terminationGracePeriodSeconds"] >= pause + wanted
    assert system._API_STOP_SECONDS > GRACE_SECONDS
    assert CONTAINERS["api"][1]["lifecycle"]["preStop"]["sleep"]["seconds"] > 0


@pytest.mark.parametrize("name", CONTAINERS)
def test_parts_are_confined(name: str) -> None:
    """As the standard `restricted` for pods asks for, with files read-only and bounds for everything."""
    pod, container = CONTAINERS[name]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user, group = IMAGE.last("USER").text.split(":")
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["fsGroup"]) == (True, int(user), int(group))
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert {"requests", "limits"} <= container["resources"].keys()
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/tmp", IMAGE.environment["EMBED_SEARCH_DATA_DIR"]} <= mounted  # noqa: S108 - a path in the image


def test_variables_that_kubernetes_makes_do_not_stop_the_start() -> None:
    """A service of the name embed-search would give every pod an EMBED_SEARCH_PORT that is no port."""
    assert all(pod["enableServiceLinks"] is False for pod, _ in own_containers())


def test_the_api_has_what_was_agreed() -> None:
    """Three replicas, one or two processors, two to four GiB, on port 8080."""
    assert named("StatefulSet", "embed-search")["spec"]["replicas"] == 3
    assert CONTAINERS["api"][1]["resources"] == {
        "requests": {"cpu": "1", "memory": "2Gi"},
        "limits": {"cpu": "2", "memory": "4Gi"},
    }
    assert _ports(CONTAINERS["api"][1]) == {"http": 8080}


def test_services_find_pods_and_ports() -> None:
    """Each selects pods that there are, and names ports that these have."""
    pods = {}
    for _, resource in resources():
        if "template" in resource.get("spec", {}):
            template = resource["spec"]["template"]
            named_ports = {
                port.get("name", port["containerPort"])
                for container in template["spec"]["containers"]
                for port in container["ports"]
            }
            pods[template["metadata"]["labels"]["app.kubernetes.io/component"]] = named_ports
    services = [resource for _, resource in resources() if resource["kind"] == "Service"]
    assert len(services) >= 3
    for service in services:
        ports = pods[service["spec"]["selector"]["app.kubernetes.io/component"]]
        assert {port.get("targetPort", port["port"]) for port in service["spec"]["ports"]} <= ports


def test_the_pods_are_named_by_their_service() -> None:
    """And budgets, spread and policy select them."""
    workload = named("StatefulSet", "embed-search")
    assert named("Service", workload["spec"]["serviceName"])["spec"]["clusterIP"] == "None"
    labels = workload["spec"]["template"]["metadata"]["labels"]
    selectors = [
        named("PodDisruptionBudget", "embed-search")["spec"]["selector"],
        workload["spec"]["selector"],
        *(each["labelSelector"] for each in workload["spec"]["template"]["spec"]["topologySpreadConstraints"]),
        named("NetworkPolicy", "embed-search")["spec"]["podSelector"],
    ]
    assert all(selector["matchLabels"].items() <= labels.items() for selector in selectors)


def test_a_drain_takes_one_pod_at_a_time() -> None:
    """Of each kind."""
    budgets = [resource["spec"] for _, resource in resources() if resource["kind"] == "PodDisruptionBudget"]
    assert [budget["maxUnavailable"] for budget in budgets] == [1, 1]


def test_the_policy_lets_in_and_out_what_is_needed() -> None:
    """Requests from anywhere, scrapes from what watches; and all ports that settings name."""
    spec = named("NetworkPolicy", "embed-search")["spec"]
    clients, scrapes = spec["ingress"]
    assert clients == {"ports": [{"port": 8080}]}
    assert "from" in scrapes
    indexers = sorted({port for name, (_, c) in CONTAINERS.items() if name != "api" for port in _ports(c).values()})
    assert scrapes["ports"] == [{"port": indexers[0], "endPort": indexers[-1]}]
    out = [range(p["port"], p.get("endPort", p["port"]) + 1) for rule in spec["egress"] for p in rule["ports"]]
    for overlay in ("production", "evaluation"):
        told = BASE | literals(
            documents(KUBERNETES / "overlays" / overlay / "kustomization.yaml")[0], "configMapGenerator"
        )
        named_ports = [int(told[name].rpartition(":")[2]) for name in told if name.endswith(("SERVERS", "ENDPOINT"))]
        assert all(any(port in ports for ports in out) for port in named_ports)


@pytest.mark.parametrize("path", [path for path, tree in kustomizations() if "configMapGenerator" in tree], ids=str)
def test_settings_of_overlays_are_settings(path: object) -> None:
    """Known ones, valid together with those below."""
    tree = next(tree for found, tree in kustomizations() if found == path)
    settings_of(BASE | literals(tree, "configMapGenerator"))


def test_scaling_reads_the_lag_of_the_group_that_indexes() -> None:
    """By the name that the indexer has, of the topic and up to the partitions that are set."""
    settings = settings_of(BASE)
    spec = named("ScaledObject", "embed-search-semantic-indexer")["spec"]
    (trigger,) = spec["triggers"]
    options = indexer_options("semantic", settings, kafka_cluster(settings))
    assert trigger["metadata"]["consumerGroup"] == options.group
    assert trigger["metadata"]["topic"] == settings.topic
    assert trigger["metadata"]["bootstrapServers"] == settings.kafka_bootstrap_servers
    assert spec["maxReplicaCount"] == settings.partitions
    assert spec["minReplicaCount"] == 1
    target = named("Deployment", spec["scaleTargetRef"]["name"])
    assert "replicas" not in target["spec"], "two would fight over it"


def test_secrets_are_those_that_are_told_of() -> None:
    """Every Secret and key that anything refers to is in the comment that says what to make."""
    told = (KUBERNETES / "base" / "kustomization.yaml").read_text()
    told += (KUBERNETES / "overlays" / "production" / "kafka-credentials.yaml").read_text()
    references = {
        (entry["valueFrom"]["secretKeyRef"]["name"], entry["valueFrom"]["secretKeyRef"]["key"])
        for _, container in own_containers()
        for entry in container["env"]
        if "valueFrom" in entry
    }
    assert references == {("embed-search-database", "api"), ("embed-search-database", "indexer")}
    volumes = {
        volume["secret"]["secretName"] for pod, _ in own_containers() for volume in pod["volumes"] if "secret" in volume
    }
    assert volumes == {"embed-search-keys"}
    for secret in ("embed-search-database", "embed-search-keys", "embed-search-scrape", "embed-search-kafka"):
        assert secret in told


def test_files_that_settings_name_are_mounted() -> None:
    """Where the settings say that they are."""
    _, api = CONTAINERS["api"]
    mounts = {mount["name"]: mount["mountPath"] for mount in api["volumeMounts"]}
    assert _variables(api)["EMBED_SEARCH_KEYS_FILE"] == f"{mounts['keys']}/keys.json"
    told = literals(PRODUCTION, "configMapGenerator")
    folder = KUBERNETES / "overlays" / "production"
    patched = [step for patch in PRODUCTION["patches"] for step in steps(folder / patch["path"])]
    volume = next(step["value"] for step in patched if step["path"].endswith("volumes/-"))
    mounts_made = [step for step in patched if step["path"].endswith("volumeMounts/-")]
    mounted = [step["value"] for step in mounts_made]
    assert {each["name"] for each in mounted} == {volume["name"]}
    assert [step["path"].split("/")[5] for step in mounts_made] == list("0123")
    files = {f"{mounted[0]['mountPath']}/{item['path']}" for item in volume["secret"]["items"]}
    assert files == {told["EMBED_SEARCH_KAFKA_SASL_PASSWORD_FILE"], told["EMBED_SEARCH_KAFKA_CA_FILE"]}


def test_prometheus_scrapes_every_part() -> None:
    """By ports that a service with the right label names, and with a key where one is needed."""
    spec = named("ServiceMonitor", "embed-search")["spec"]
    label, value = next(item for item in spec["selector"]["matchLabels"].items() if item[0].startswith("embed-search"))
    found = {
        port["name"]
        for _, resource in resources()
        if resource["kind"] == "Service" and resource["metadata"].get("labels", {}).get(label) == value
        for port in resource["spec"]["ports"]
    }
    scraped = {endpoint["port"]: endpoint for endpoint in spec["endpoints"]}
    assert scraped.keys() == found == {name for _, container in own_containers() for name in _ports(container)}
    assert {endpoint["path"] for endpoint in spec["endpoints"]} == {"/metrics"}
    assert "/metrics" in api_paths() & probe_paths()
    assert [port for port, endpoint in scraped.items() if "authorization" in endpoint] == ["http"]


def test_default_settings_are_not_repeated_differently() -> None:
    """The topic of the base is the one that everything else takes without being told."""
    assert BASE["EMBED_SEARCH_TOPIC"] == Settings.model_fields["topic"].default
