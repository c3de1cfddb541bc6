"""What runs on GitHub: valid, pinned, with no more rights than it needs, and of commands that there are."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.delivery.manifests import DOCKERFILE, ROOT, Tree
from tests.documents.words import faults

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
_USES = re.compile(r"uses: (.*)$", re.MULTILINE)
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_UV = re.compile(r"uv==([\d.]+)")


def _read(path: Path) -> dict[Any, Any]:
    workflow: dict[Any, Any] = yaml.safe_load(path.read_text())
    return workflow


def _steps(path: Path) -> Iterator[Tree]:
    for job in _read(path)["jobs"].values():
        yield from job["steps"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_valid(path: Path) -> None:
    """By the schema that is shipped with the checker."""
    checker = Path(sys.executable).with_name("check-jsonschema")
    argv = [str(checker), "--builtin-schema", "vendor.github-workflows", str(path)]
    checked = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    """By a commit, which cannot be moved as a tag can, and with the version for people."""
    used = _USES.findall(path.read_text())
    assert used
    assert [each for each in used if not _PINNED.fullmatch(each)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_rights_are_the_least(path: Path) -> None:
    """A workflow begins with reading at most; a job that writes says so, and its steps keep no credentials."""
    workflow = _read(path)
    assert workflow["permissions"] in ({}, {"contents": "read"})
    written = {
        (name, scope)
        for name, job in workflow["jobs"].items()
        for scope, right in job.get("permissions", {}).items()
        if right == "write"
    }
    assert written <= {("publish", "contents"), ("image", "packages")}
    checkouts = [step for step in _steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_is_run_exists(path: Path) -> None:
    """Scripts, targets, the Dockerfile and its stages."""
    run = [step["run"] for step in _steps(path) if "run" in step]
    assert run
    assert {command: found for command in run if (found := faults(command))} == {}


def test_every_python_that_is_promised_is_tested() -> None:
    """Those that the project says it runs on, and no other."""
    tested = _read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert _PROJECT["requires-python"] == ">=3.11,<3.14"
    assert tested == ["3.11", "3.12", "3.13"]


def test_a_release_is_built_by_the_uv_of_the_image() -> None:
    """One that understands the lock file as it was written."""
    texts = ((ROOT / ".github" / "workflows" / "release.yml").read_text(), DOCKERFILE.read_text())
    assert len({version for text in texts for version in _UV.findall(text)}) == 1


def test_the_version_is_the_same_everywhere() -> None:
    """In the project, the newest section of the changelog, and the image that Kubernetes is told of."""
    version = _PROJECT["version"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == version
    kustomization = yaml.safe_load((ROOT / "infra" / "kubernetes" / "base" / "kustomization.yaml").read_text())
    assert [image["newTag"] for image in kustomization["images"]] == [version]
