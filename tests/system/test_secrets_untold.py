"""No secret is told: real parts run with marked ones and are made to fail, and all that they say is listened to."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from api.access.keys import KeyList, make_key, utc_now, write_keys
from api.access.scopes import ALL_SCOPES
from infra.postgres.roles import READER, WRITER, make_roles, url_of_role
from infra.supervisor.ports import free_port
from tests.services.certificates import Certificates
from tests.services.collector import Collector, collecting
from tests.services.secured_kafka import PASSWORD, USER, SecuredKafka
from tests.system.processes import Program, program, run_command
from tests.system.waiting import until

pytestmark = pytest.mark.timeout(600)  # a dozen processes start and stop in each test

TOKEN = f"token-of-the-collector-{uuid4().hex}"
WRITER_PASSWORD = f"writes-{uuid4().hex}"
READER_PASSWORD = f"reads-{uuid4().hex}"
WRONG = f"wrong-{uuid4().hex}"

PATHS = [
    *("/health", "/readyz", "/metrics", "/system", "/openapi.json", "/asyncapi.json", "/docs", "/admin/breakers"),
    *("/search?q=word", "/search", "/search?q=word&methods=semantic", "/search?q=%2F(%2F&methods=native"),
    *("/search?limit=nonsense", "/documents/one", "/documents/nowhere", "/nowhere"),
]


class Ear:
    """Keeps whatever anybody said, by who said it."""

    def __init__(self) -> None:
        self.heard: dict[str, str] = {}

    def hear(self, source: str, text: str) -> None:
        """Keep it."""
        self.heard[source] = self.heard.get(source, "") + text

    def command(self, arguments: list[str], environment: Mapping[str, str]) -> int:
        """Run a command to its end and listen; gives its status."""
        done = run_command(arguments, environment)
        self.hear(" ".join(arguments), done.stdout + done.stderr)
        return done.returncode

    async def ask(self, http: httpx.AsyncClient, key: str) -> None:
        """Call everything, with the key, without and with a wrong one."""
        for headers in ({"authorization": f"Bearer {key}"}, {}, {"authorization": f"Bearer 0123456789ab.{WRONG}"}):
            for path in PATHS:
                answer = await http.get(path, headers=headers)
                self.hear(f"GET {path}", f"{answer.headers} {answer.text}")
        bearer = {"authorization": f"Bearer {key}"}
        published = await http.post("/documents", json={"id": "one", "body": "a word"}, headers=bearer)
        self.hear("POST /documents", published.text)

    def tellers_of(self, *secrets: str) -> list[str]:
        """Who said a secret, and the beginning of the line in which it was."""
        lines = ((source, line) for source, text in self.heard.items() for line in text.splitlines())
        return [f"{source}: {line[:300]}" for source, line in lines if any(secret in line for secret in secrets)]


@contextlib.contextmanager
def parts(environments: Mapping[str, Mapping[str, str]], folder: Path, ear: Ear) -> Iterator[dict[str, Program]]:
    """Run a process for each command, and hear all that each has logged, to its end."""
    with contextlib.ExitStack() as stack:
        started = {}
        for command, environment in environments.items():
            log = folder / f"{command.replace(' ', '-')}.log"
            started[command] = stack.enter_context(program(command.split(), environment, log))
        yield started
        for process in started.values():
            if process.running:
                process.stop()
    for command, process in started.items():
        assert process.output, command
        ear.hear(command, process.output)


def settings(folder: Path, collector: Collector, model: Path, **given: object) -> dict[str, str]:
    """The environment of every part, as talkative as it gets."""
    return {
        "MODEL_PATH": str(model),
        "EMBED_SEARCH_DATA_DIR": str(folder / "data"),
        "EMBED_SEARCH_TOPIC": f"untold-{uuid4().hex}",
        "EMBED_SEARCH_PORT": str(free_port()),
        "EMBED_SEARCH_WORKERS": "1",
        "EMBED_SEARCH_INDEXES": "bm25,semantic",
        "EMBED_SEARCH_LOG_LEVEL": "debug",
        "EMBED_SEARCH_KEYS_FILE": str(folder / "keys"),
        "EMBED_SEARCH_ANONYMOUS_SCOPES": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {TOKEN}",
        **{name: str(value) for name, value in given.items()},
    }


def secured(kafka: SecuredKafka, certificates: Certificates, password: str) -> dict[str, object]:
    """Settings of a Kafka with TLS that asks for a password."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.addresses["SASL_SSL"],
        "EMBED_SEARCH_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "EMBED_SEARCH_KAFKA_SASL_MECHANISM": "PLAIN",
        "EMBED_SEARCH_KAFKA_SASL_USER": USER,
        "EMBED_SEARCH_KAFKA_SASL_PASSWORD": password,
        "EMBED_SEARCH_KAFKA_CA_FILE": certificates.authority,
    }


async def test_no_secret_is_told_by_a_system_that_works(
    secured_kafka: SecuredKafka,
    certificates: Certificates,
    database_dsn: str,
    model_path: Path,
    tmp_path: Path,
) -> None:
    """With all libraries logging all they can, no line, answer, metric, span or output has a password or a key."""
    await make_roles(database_dsn, {WRITER: WRITER_PASSWORD, READER: READER_PASSWORD})
    kept, key = make_key("test", ALL_SCOPES, timedelta(days=1), utc_now())
    write_keys(tmp_path / "keys", KeyList((kept,)))
    ear = Ear()
    with collecting() as collector:
        shared = settings(
            tmp_path,
            collector,
            model_path,
            **secured(secured_kafka, certificates, PASSWORD),
        )
        writing = shared | {"DATABASE_URL": url_of_role(database_dsn, WRITER, WRITER_PASSWORD)}
        reading = shared | {"DATABASE_URL": url_of_role(database_dsn, READER, READER_PASSWORD)}
        url = f"http://127.0.0.1:{shared['EMBED_SEARCH_PORT']}"
        client = reading | {"EMBED_SEARCH_API_KEY": key, "EMBED_SEARCH_URL": url}
        with parts({"index": writing, "api": reading}, tmp_path, ear):
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
                await until(lambda: _healthy(http, key), "all of it works")
                await ear.ask(http, key)
            (tmp_path / "documents.ndjson").write_text('{"id": "two", "body": "another word"}\n{"id": 7}\n')
            for command in (
                ["publish", str(tmp_path / "documents.ndjson")],
                ["search", "word"],
                ["status"],
                ["dlq", "list"],
                ["keys", "list"],
                ["doctor"],
            ):
                ear.command(command, client)
            ear.command(["status"], client | {"EMBED_SEARCH_API_KEY": f"0123456789ab.{WRONG}"})
        ear.hear("spans", repr(collector.spans))
        assert collector.spans
    secret_of_key = key.partition(".")[2]
    assert ear.tellers_of(PASSWORD, WRITER_PASSWORD, READER_PASSWORD, TOKEN, WRONG, secret_of_key) == []
    assert [who for who in ear.tellers_of('"indexing"') if who.startswith("index")], "nothing was listened to"


async def test_no_secret_is_told_by_a_system_that_gets_in_nowhere(
    secured_kafka: SecuredKafka,
    certificates: Certificates,
    database_dsn: str,
    model_path: Path,
    tmp_path: Path,
) -> None:
    """Wrong passwords, hosts that are not there and settings that are nonsense: what is reported is not repeated."""
    kept, key = make_key("test", ALL_SCOPES, None, utc_now())
    write_keys(tmp_path / "keys", KeyList((kept,)))
    ear = Ear()
    with collecting() as collector:
        refused = settings(
            tmp_path,
            collector,
            model_path,
            **secured(secured_kafka, certificates, WRONG),
            DATABASE_URL=url_of_role(database_dsn, WRITER, WRONG),
        )
    # The collector is gone as well.
    absent = refused | {
        "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{free_port()}",
        "DATABASE_URL": f"postgresql://me:{WRONG}@localhost:{free_port()}/db",
        "EMBED_SEARCH_PORT": str(free_port()),
    }
    for number, environment in enumerate((refused, absent)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with parts({"index": environment, "api": environment}, folder, ear) as running:
            await until(lambda: _said(running, "waiting for Kafka"), "the indexers are refused")
            url = f"http://127.0.0.1:{environment['EMBED_SEARCH_PORT']}"
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
                await until(lambda: _answers(http), "the API answers")
                await ear.ask(http, key)
        for command in (["dlq", "list"], ["roles"]):
            assert ear.command(command, environment) == 1, command
        ear.command(["doctor"], environment)
    nonsense = (
        {"DATABASE_URL": f"postgresql://me:{WRONG}@db.example/db"},
        {"DATABASE_URL": f"me:{WRONG}@db.example/db"},
        {"EMBED_SEARCH_KAFKA_SASL_USER": ""},
        {"EMBED_SEARCH_KAFKA_SECURITY_PROTOCOL": "SSL"},
        {"EMBED_SEARCH_KAFKA_SECURITY_PROTOCOL": WRONG},
        {"EMBED_SEARCH_PORT": WRONG},
    )
    for change in nonsense:
        assert ear.command(["api"], refused | change) == 2
    assert ear.tellers_of(WRONG, TOKEN, key.partition(".")[2]) == []
    named = {who.partition(":")[0] for who in ear.tellers_of("EMBED_SEARCH_KAFKA_SASL_PASSWORD")}
    assert named >= {"index", "doctor", "dlq list"}


async def _healthy(http: httpx.AsyncClient, key: str) -> bool:
    try:
        answer = await http.get("/health", headers={"authorization": f"Bearer {key}"})
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and answer.json()["status"] == "healthy"


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/livez")).is_success
    except httpx.TransportError:
        return False


async def _said(running: Mapping[str, Program], words: str) -> bool:
    return words in running["index"].output
