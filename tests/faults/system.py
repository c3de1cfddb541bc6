"""The whole system as processes of which each can be stopped, killed and started alone."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import httpx
import psutil

from infra.kafka.server import KafkaServer
from infra.postgres.server import PostgresServer
from infra.setup.artifacts import Artifacts
from infra.supervisor.ports import free_port
from streams.settings import METHODS
from tests.faults.corpus import DOCUMENTS, documents, ndjson
from tests.faults.load import History, observe
from tests.faults.nemesis import children_that_run, postgres_processes
from tests.system.processes import Program, program

PARTS: Final = ("kafka", "postgres", *METHODS, "api")

OK: Final = 200
WARM_UP_SECONDS: Final = 6.0
BASELINES: Final = 5

_LOOK_EVERY_SECONDS: Final = 0.05


class System:
    """A broker, a database, four indexers and an API, each of which can be stopped, killed and started alone.

    Args:
        folder: for all it keeps.
        artifacts: what `make setup` made.
        settings: of all its programs, as environment variables.

    Attributes:
        ports: of the servers of the API.
    """

    def __init__(self, folder: Path, artifacts: Artifacts, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.faults = folder / "faults"
        self.faults.mkdir(parents=True)
        self.model = folder / "model.gguf"
        self.model.symlink_to(artifacts.model)  # which can be taken away without the file of everybody else
        self.port = free_port()
        self.kafka = KafkaServer(
            folder / "kafka", jars=artifacts.kafka_jars, port=free_port(), controller_port=free_port()
        )
        self.postgres = PostgresServer(folder / "postgres", port=free_port())
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "DATABASE_URL": self.postgres.dsn,
            "MODEL_PATH": str(self.model),
            "EMBED_SEARCH_DATA_DIR": str(self.data),
            "EMBED_SEARCH_TOPIC": f"faults-{uuid4().hex}",
            "EMBED_SEARCH_PORT": str(self.port),
            "FAULTS_DIRECTORY": str(self.faults),
            **settings,
        }
        self.programs: dict[str, Program] = {}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        self._ends: dict[str, contextlib.ExitStack] = {}

    @contextlib.contextmanager
    def running(self, *parts: str) -> Iterator["System"]:
        """Run these parts, or all, for as long as the block, with the documents indexed when all are there."""
        try:
            for part in parts or PARTS:
                self.start(part)
            self.wait_until(self.ready, "the API serves")
            if not parts:
                self.publish()
                self.wait_until(self.complete, "all methods answer")
            yield self
        finally:
            self.http.close()
            for part in [*(set(self._ends) - set(PARTS)), *reversed(PARTS)]:
                self.stop(part)

    def start(self, part: str, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """Start a part that does not run; `api` and a name of one's own behind it is another API, on another port.

        `semantic` and a name behind it is another indexer of the same index; it needs a data directory of its own.
        """
        end = contextlib.ExitStack()
        match part:
            case "kafka":
                end.enter_context(self.kafka.running())
            case "postgres":
                end.enter_context(self.postgres.running())
            case _:
                serves = part.startswith("api")
                index, _, _ = part.partition("-")
                module, command = ("tests.faults.serve", []) if serves else ("infra.cli", ["index", index])
                log = self.folder / f"{part}.log"
                started = program(command, self.environment | dict(environment), log, module=module)
                self.programs[part] = end.enter_context(started)
        self._ends[part] = end

    def stop(self, part: str) -> None:
        """Stop a part as its supervisor would, if it runs."""
        end = self._ends.pop(part, None)
        if end is None:
            return
        with end:
            if part in self.programs and self.programs[part].running:
                self.programs[part].stop()

    def restart(self, part: str, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """Stop a part and start it again, with other settings perhaps, and wait until searches are answered."""
        self.stop(part)
        self.start(part, environment)
        self.wait_until(self.ready, "the API serves")
        self.wait_until(self.complete, "all methods answer")

    def kill(self, part: str) -> None:
        """`kill -9` of a part and nothing else, and reap it."""
        for process in self.processes(part)[:1]:
            process.kill()
        self._ends.pop(part).close()

    def processes(self, part: str) -> list[psutil.Process]:
        """A part's own process and its descendants."""
        match part:
            case "kafka":
                return children_that_run("kafka.Kafka")
            case "postgres":
                return postgres_processes(self.folder / "postgres")
            case _:
                process = psutil.Process(self.programs[part].pid)
                return [process, *process.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """Of the API; they are forked from one of its own processes."""
        origins = children_that_run("forkserver", self.programs["api"].pid, deep=False)
        return [worker for origin in origins for worker in children_that_run("forkserver", origin.pid, deep=False)]

    def publish(self, first: int = 0, count: int = DOCUMENTS, *, seconds: float = 120.0) -> None:
        """Publish documents and wait until every index has them, which takes so long at most."""
        self.wait_for(self.post(documents(first, count)), seconds=seconds)

    def post(self, chosen: Iterable[dict[str, str]]) -> str:
        """Publish these; gives the token up to which an index has read them all."""
        head = {"content-type": "application/x-ndjson"}
        published = self.http.post("/documents", content=ndjson(chosen), headers=head)
        assert published.status_code == 202, published.text
        token: str = published.json()["token"]
        return token

    def wait_for(self, token: str, *, seconds: float = 120.0) -> None:
        """Wait until every index has read up to a token."""
        self.wait_until(
            lambda: not self.search(wait_for=token, timeout_ms=30_000)["partial"], "every index has it all", seconds
        )

    def healthy(self, bodies: Sequence[str], *, rate: float, seconds: float = 10.0) -> History:
        """The baseline of an experiment: the same searches while all is well, with warm caches.

        A machine that is too busy with other things for them is given some time.
        """
        for _ in range(BASELINES):
            observe([self.port], bodies, rate=rate, seconds=WARM_UP_SECONDS)
            seen = observe([self.port], bodies, rate=rate, seconds=seconds)
            if not seen.where(lambda one: one.status != OK or one.partial):
                return seen
        raise AssertionError(f"searches are not answered while all is well: {seen.outcomes} {seen.examples}")

    def search(self, query: str = "document", **request: Any) -> dict[str, Any]:
        """`POST /search`, which must answer."""
        response = self.http.post("/search", json={"query": query, "timeout_ms": 5_000} | request)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def ready(self) -> bool:
        """Whether the API serves."""
        try:
            return self.http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def complete(self) -> bool:
        """Whether all methods answer a search with the server's own deadline, and all breakers are closed."""
        answer = self.http.post("/search", json={"query": "document"})
        return answer.status_code == 200 and not answer.json()["partial"]

    def fault(self, method: str, kind: str) -> None:
        """Let a method hang or fail from now on, see `tests.faults.serve`; "" heals it."""
        file = self.faults / method
        if kind:
            file.write_text(kind)
        else:
            file.unlink()

    @staticmethod
    def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> float:
        """Wait until a condition holds; gives the seconds that it took, and fails when it does not in time."""
        began = monotonic()
        while not condition():
            assert monotonic() < began + seconds, f"not within {seconds:.0f} s: {what}"
            sleep(_LOOK_EVERY_SECONDS)
        return monotonic() - began
