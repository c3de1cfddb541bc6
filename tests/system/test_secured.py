"""The system on a Kafka that lets nobody in without a password: every process and command proves who it is."""

import contextlib
import json
from pathlib import Path
from uuid import uuid4

import httpx

from infra.supervisor.ports import free_port
from tests.services.certificates import Certificates
from tests.services.secured_kafka import PASSWORD, USER, SecuredKafka
from tests.system.processes import Program, program, run_command
from tests.system.waiting import until


def secured_environment(kafka: SecuredKafka, certificates: Certificates, folder: Path) -> dict[str, str]:
    """What a process needs to take part, with the password in a file as orchestrators mount it."""
    (folder / "password").write_text(f"{PASSWORD}\n")
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.addresses["SASL_SSL"],
        "EMBED_SEARCH_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "EMBED_SEARCH_KAFKA_SASL_USER": USER,
        "EMBED_SEARCH_KAFKA_SASL_PASSWORD_FILE": str(folder / "password"),
        "EMBED_SEARCH_KAFKA_CA_FILE": str(certificates.authority),
        "EMBED_SEARCH_DATA_DIR": str(folder / "data"),
        "EMBED_SEARCH_TOPIC": f"secured-{uuid4().hex}",
        "EMBED_SEARCH_PORT": str(free_port()),
        "EMBED_SEARCH_WORKERS": "1",
        "EMBED_SEARCH_INDEXES": "bm25",
    }


async def test_every_process_and_command_comes_in_with_the_password(
    secured_kafka: SecuredKafka, certificates: Certificates, tmp_path: Path
) -> None:
    """Indexer, API, and each command that speaks to Kafka: what is published is found, and nothing is left out."""
    environment = secured_environment(secured_kafka, certificates, tmp_path)
    url = f"http://127.0.0.1:{environment['EMBED_SEARCH_PORT']}"
    documents = tmp_path / "documents.ndjson"
    documents.write_text('{"id": "one", "body": "a word from the command line"}\n')
    with contextlib.ExitStack() as stack:
        for command in (["index", "bm25"], ["api"]):
            stack.enter_context(program(command, environment, tmp_path / f"{command[0]}.log"))
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:

            async def healthy() -> bool:
                try:
                    answer = await http.get("/health")
                except httpx.TransportError:
                    return False
                return bool(answer.json()["status"] == "healthy")

            await until(healthy, "index and Kafka answer")
            published = run_command(["publish", str(documents), "--url", url, "--json"], environment)
            assert published.returncode == 0, published.stderr
            over_http = (await http.post("/documents", json={"id": "two", "body": "a word over HTTP"})).json()
            for token in (json.loads(published.stdout)["token"], over_http["token"]):
                found = await http.post("/search", json={"query": "word", "wait_for": token, "timeout_ms": 20_000})
                assert not found.json()["partial"], found.text
            assert {hit["id"] for hit in found.json()["results"]} == {"one", "two"}
        for command in (["dlq", "list", "--url", url], ["dlq", "purge", "--all", "--url", url]):
            done = run_command(command, environment)
            assert done.returncode == 0, done.stderr
        assert "topic secured-" in run_command(["doctor"], environment).stdout


async def test_a_wrong_password_is_told_by_every_process(
    secured_kafka: SecuredKafka, certificates: Certificates, tmp_path: Path
) -> None:
    """A command ends with it, an indexer says it and tries again, and the API says it in its health."""
    environment = secured_environment(secured_kafka, certificates, tmp_path)
    (tmp_path / "password").write_text("guessed")
    named = "EMBED_SEARCH_KAFKA_SASL_PASSWORD"
    documents = tmp_path / "documents.ndjson"
    documents.write_text('{"id": "one", "body": "text"}\n')
    published = run_command(["publish", str(documents)], environment)
    assert published.returncode == 1
    assert named in published.stderr
    assert named in run_command(["doctor"], environment).stdout
    with (
        program(["index", "bm25"], environment, tmp_path / "index.log") as indexer,
        program(["api"], environment, tmp_path / "api.log"),
    ):
        await until(lambda: _says(indexer, named), "the indexer names the setting")
        assert indexer.running
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            health = f"http://127.0.0.1:{environment['EMBED_SEARCH_PORT']}/health"

            async def told() -> bool:
                try:
                    return named in (await http.get(health)).text
                except httpx.TransportError:
                    return False

            await until(told, "health names the setting")


async def _says(process: Program, words: str) -> bool:
    return words in process.output
