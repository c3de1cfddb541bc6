"""The Dockerfile, carried out step by step from an empty Debian; and what comes out of it, run read-only and as nobody.

What is downloaded and compiled is kept in the cache of set-up, so the second time takes three minutes and not twelve.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.setup.artifacts import Artifacts
from infra.supervisor.ports import free_port
from tests.delivery.contained import Container, contained
from tests.delivery.dockerfile import Stage, read_dockerfile
from tests.delivery.rehearsal import Rehearsal, bound
from tests.system.waiting import until

ROOT = Path(__file__).parents[3]
MODEL = "nomic-embed-text-v1.5.Q4_K_M.gguf"
READY_SECONDS = 60.0
STAGE = "with-model"

pytestmark = pytest.mark.timeout(3_600)


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    """The stages of the Dockerfile."""
    return {stage.name: stage for stage in read_dockerfile(ROOT / "infra" / "docker" / "Dockerfile")}


@pytest.fixture(scope="module")
def base(artifacts: Artifacts, stages: dict[str, Stage]) -> Path:
    """The root of the image that ours begins with."""
    suite = stages["python"].base.removeprefix("debian:").removesuffix("-slim")
    made = artifacts.root / "rehearsal" / suite
    if not made.exists():
        if shutil.which("debootstrap") is None:
            pytest.fail("the base image is made by debootstrap (Debian: apt-get install debootstrap)", pytrace=False)
        unfinished = made.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", "--variant=minbase", suite, unfinished], check=True)
        unfinished.rename(made)
    return made


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> Path:
    """A folder with a model under the name that the image expects, and its checksum."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(model_path, folder / MODEL)
    digest = hashlib.sha256(model_path.read_bytes()).hexdigest()
    (folder / f"{MODEL}.sha256").write_text(f"{digest}  {MODEL}\n")
    return folder


@pytest.fixture(scope="module")
def rehearsal(stages: dict[str, Stage], base: Path, models: Path, artifacts: Artifacts) -> Iterator[Rehearsal]:
    """The Dockerfile, to be carried out."""
    workshop = artifacts.root / "rehearsal" / "stages"
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir()
    cache = artifacts.root / "rehearsal" / "cache"
    cache.mkdir(exist_ok=True)
    with bound(cache, workshop / "cache"):
        yield Rehearsal(list(stages.values()), ROOT, workshop, base, {"models": models})
    shutil.rmtree(workshop)


@pytest.fixture
def container(rehearsal: Rehearsal, stages: dict[str, Stage], tmp_path: Path) -> Iterator[Container]:
    """The finished image."""
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    environment = {"EMBED_SEARCH_INDEXES": "bm25,native,semantic", "EMBED_SEARCH_ANONYMOUS_SCOPES": "all"}
    with contained(rehearsal.build(STAGE), stages[STAGE], data, environment) as made:
        yield made


def test_a_model_of_another_content_is_not_baked_in(rehearsal: Rehearsal, models: Path) -> None:
    """The build ends where the checksum is compared."""
    model = models / MODEL
    content = model.read_bytes()
    model.write_bytes(content + b"\0")
    with pytest.raises(subprocess.CalledProcessError, match="sha256sum"):
        rehearsal.build(STAGE)
    model.write_bytes(content)


async def test_the_image_indexes_and_answers(
    container: Container, stages: dict[str, Stage], kafka_bootstrap: str, database_dsn: str, tmp_path: Path
) -> None:
    """Each part starts by the image's own command, is healthy by its own check, and stops when it is told to."""
    stage = stages[STAGE]
    port, probe = free_port(), free_port()
    where = {"KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap, "DATABASE_URL": database_dsn, "EMBED_SEARCH_TOPIC": "image"}
    with contextlib.ExitStack() as stack:
        indexer = stack.enter_context(
            container.started(
                ["index", "bm25", "native", "semantic"],
                where | {"EMBED_SEARCH_INDEXER_PORT": str(probe)},
                tmp_path / "index.log",
            )
        )
        api = stack.enter_context(
            container.started(stage.last("CMD").argv, where | {"EMBED_SEARCH_PORT": str(port)}, tmp_path / "api.log")
        )

        async def healthy() -> bool:
            assert indexer.running, indexer.output
            assert api.running, api.output
            check = [str(port) if word == "8080" else word for word in stage.last("HEALTHCHECK").argv]
            asked = [container.run(check), container.run([*check[:-2], "readyz", str(probe)])]
            return [answer.returncode for answer in asked] == [0, 0]

        try:
            await until(healthy, "both are healthy", READY_SECONDS)
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{indexer.output}\n{api.output}") from exc
        assert container.run(["id", "-u"]).stdout.strip() == "10001"
        assert container.run(["touch", "/opt/embed-search/file"]).returncode == 1
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=40, trust_env=False) as http:
            published = await http.post("/documents", json={"id": "a", "body": "a lock guards a critical section"})
            token = published.json()["token"]
            for method, query in (("bm25", "lock"), ("native", "critical sec"), ("semantic", "mutual exclusion")):
                asked = {"query": query, "methods": [method], "wait_for": token, "timeout_ms": 30_000}
                answer = (await http.post("/search", json=asked)).json()
                assert [hit["id"] for hit in answer["results"]] == ["a"], answer
        assert (api.stop(), indexer.stop()) == (0, 0), api.output + indexer.output
