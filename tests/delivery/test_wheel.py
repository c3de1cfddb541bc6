"""The wheel: it holds all that the packages hold, and runs where there is no checkout."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import httpx
import msgspec
import pytest

from infra.setup.artifacts import Artifacts
from infra.setup.llama import LlamaWheel
from infra.supervisor.ports import free_port
from tests.delivery.manifests import ROOT
from tests.system.processes import Running, clean_environment
from tests.system.waiting import until

PACKAGES = ("api", "indexer", "infra", "streams")
_BUILD_SECONDS = 300
_SET_UP_SECONDS = 900
_START_SECONDS = 200.0
_STOP_SECONDS = 60

pytestmark = pytest.mark.timeout(1_500)  # the machine code of the engines is compiled for the new place


class Installed(msgspec.Struct, frozen=True):
    """An environment that the wheel is installed in, and an empty folder to work in."""

    programs: Path
    folder: Path

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the program to its end."""
        return subprocess.run(
            [str(self.programs / "embed-search"), *arguments],
            cwd=self.folder,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SET_UP_SECONDS,
        )


def _uv(artifacts: Artifacts) -> str:
    """The one that set-up uses."""
    found = shutil.which("uv") or next(map(str, artifacts.root.glob("uv-*/bin/uv")), None)
    assert found, "there is no uv: run `make setup`"
    return found


@pytest.fixture(scope="module")
def distributions(artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built of it."""
    place = tmp_path_factory.mktemp("dist")
    constraints = ROOT / "infra" / "docker" / "build-constraints.txt"
    argv = [_uv(artifacts), "build", "--quiet", "--build-constraints", str(constraints), "--out-dir", str(place)]
    subprocess.run([*argv, str(ROOT)], check=True, timeout=_BUILD_SECONDS)
    return place


@pytest.fixture(scope="module")
def installed(distributions: Path, artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel and what it needs, as it is locked; llama.cpp as set-up has compiled it."""
    place = tmp_path_factory.mktemp("installed")
    uv, environment, locked = _uv(artifacts), str(place / "environment"), str(place / "requirements.txt")
    export = [uv, "export", "--quiet", "--frozen", "--project", str(ROOT), "--output-file", locked, "--extra", "setup"]
    export += ["--no-default-groups", "--no-emit-project", "--no-emit-package", "llama-cpp-python"]
    llama = LlamaWheel(artifacts).kept()
    assert llama, "llama-cpp-python is not compiled: run `make setup`"
    (wheel,) = distributions.glob("*.whl")
    install = [uv, "pip", "install", "--quiet", "--python", environment, "--no-deps"]
    for argv in (
        export,
        [uv, "venv", "--quiet", "--python", sys.executable, environment],
        [*install, "--require-hashes", "--requirements", locked],
        [*install, str(llama), str(wheel)],
        [uv, "pip", "check", "--quiet", "--python", environment],
    ):
        subprocess.run(argv, check=True, timeout=_BUILD_SECONDS)
    folder = place / "elsewhere"
    folder.mkdir()
    return Installed(Path(environment, "bin"), folder)


@pytest.fixture(scope="module")
def prepared(installed: Installed, model_path: Path) -> Installed:
    """The same, once it has set up what it needs."""
    assert model_path.exists()
    done = installed.run("setup")
    assert done.returncode == 0, done.stderr
    return installed


def _tracked(*paths: str) -> set[str]:
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths]
    listed = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}


def test_the_wheel_holds_what_the_packages_hold(distributions: Path) -> None:
    """SQL, pages, checksums and all else that lies beside the code, and nothing that git ignores."""
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.startswith("embed_search-")}
    assert held == _tracked(*PACKAGES)


def test_the_sdist_holds_the_tests_and_documents(distributions: Path) -> None:
    """And what they need."""
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert _tracked("tests", "docs", "Makefile", "uv.lock", "LICENSE", "CHANGELOG.md") <= held


@pytest.mark.usefixtures("model_path")
def test_it_is_well_where_there_is_no_checkout(prepared: Installed) -> None:
    """The program says its version, and finds nothing broken; the code is that of the wheel."""
    version = prepared.run("--version")
    assert re.search(r"\d+\.\d+\.\d+", version.stdout), version.stderr
    python = [str(prepared.programs / "python"), "-c", "import infra; print(infra.__file__)"]
    imported = subprocess.run(python, cwd=prepared.folder, env=clean_environment(), capture_output=True, check=True)
    assert imported.stdout.startswith(str(prepared.programs.parent).encode())
    found = prepared.run("doctor", "--json")
    assert [each for each in json.loads(found.stdout) if each["verdict"] == "broken"] == []


@pytest.mark.usefixtures("model_path")
async def test_it_indexes_and_answers_where_there_is_no_checkout(prepared: Installed) -> None:
    """`up` starts a real Kafka and PostgreSQL, and a document is found by words and by meaning."""
    port = free_port()
    up = _start(prepared, port)
    try:

        async def greeted() -> bool:
            assert up.running, up.output
            return "try it:" in up.output

        await until(greeted, "the system is ready", _START_SECONDS)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=40, trust_env=False) as http:
            published = await http.post("/documents", json={"id": "a", "body": "a lock guards a critical section"})
            token = published.json()["token"]
            for method, query in (("bm25", "lock"), ("semantic", "mutual exclusion")):
                asked = {"query": query, "methods": [method], "wait_for": token, "timeout_ms": 30_000}
                answer = (await http.post("/search", json=asked)).json()
                assert [hit["id"] for hit in answer["results"]] == ["a"], answer
    finally:
        assert up.stop() == 0, up.output


class Up(Running):
    """A running `up`."""

    def stop(self) -> int:
        """Ask it to stop and give its exit status."""
        self._process.terminate()
        return self._process.wait(_STOP_SECONDS)


def _start(installed: Installed, port: int) -> Up:
    log = installed.folder / "up.log"
    argv = [str(installed.programs / "embed-search"), "up", "--port", str(port), "--indexes", "bm25,semantic"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, cwd=installed.folder, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    return Up(process, log)
