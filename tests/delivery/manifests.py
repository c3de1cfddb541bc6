"""Reads the files that say how the system is run, as they are in the repository."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "infra" / "docker" / "Dockerfile"
KUBERNETES = ROOT / "infra" / "kubernetes"

Tree = dict[str, Any]


def compose_services() -> dict[str, Tree]:
    """The services of the compose file."""
    services: dict[str, Tree] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


def own_services() -> dict[str, Tree]:
    """Those that run our image by its entry point."""
    return {
        name: service
        for name, service in compose_services().items()
        if service.get("image") == "embed-search" and "entrypoint" not in service
    }


def documents(path: Path) -> list[Tree]:
    """All documents of a YAML file that are objects, as resources are and patches are not."""
    return [document for document in yaml.safe_load_all(path.read_text()) if isinstance(document, dict)]


def steps(path: Path) -> list[dict[str, Any]]:
    """The steps of a JSON patch."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    return found


def resources() -> Iterator[tuple[Path, Tree]]:
    """Every Kubernetes resource, before kustomize changes it, and where it is."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for document in documents(path):
            if document["kind"] not in ("Kustomization", "Component"):
                yield path, document


def kustomizations() -> Iterator[tuple[Path, Tree]]:
    """Every kustomization, and where it is."""
    for path in sorted(KUBERNETES.rglob("kustomization.yaml")):
        yield path, documents(path)[0]


def named(kind: str, name: str) -> Tree:
    """The one resource of a kind and name."""
    (found,) = [each for _, each in resources() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def own_containers() -> Iterator[tuple[Tree, Tree]]:
    """Every container of our image, and the specification of the pod that it is in."""
    for _, resource in resources():
        pod = resource.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers", []):
            if container["image"] == "embed-search":
                yield pod, container


def literals(kustomization: Mapping[str, Any], generator: str) -> dict[str, str]:
    """What the ConfigMaps or Secrets of a kustomization are made of."""
    entries = [entry for each in kustomization.get(generator, []) for entry in each.get("literals", [])]
    return dict(entry.split("=", 1) for entry in entries)
