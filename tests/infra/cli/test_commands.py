"""How the command line fails, helps and reports."""

import json
import socket
from pathlib import Path

import pytest

from indexer import bm25
from indexer.generation import open_or_create_live
from infra.supervisor.ports import free_port
from streams.change import Position, Upsert
from streams.document import Document, DocumentId
from streams.watermark import Watermark
from tests.system.processes import run_command

COMMANDS = (
    *("up", "publish", "search", "status", "wait", "index", "api", "dlq", "verify"),
    *("eval", "keys", "bench", "doctor"),
)


def test_help_lists_every_command() -> None:
    """A newcomer finds every command with one line on what it does."""
    result = run_command(["--help"], {})
    assert result.returncode == 0
    assert all(f"  {command} " in result.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "nonsense"),
        (["search"], "QUERY"),
        (["search", "x", "--limit", "0"], "--limit"),
        (["search", "x", "--filter", "source"], "--filter"),
        (["search", "x", "--filter", "tags=a", "--filter", "tags=b"], "--filter"),
        (["search", "x", "--filter", "published_at.gte=2024"], "published_at.gte"),
        (["index", "lucene"], "lucene"),
        (["publish", "/no/such/path"], "/no/such/path"),
        (["publish", ".", "--delete-missing"], "--source"),
        (["verify", "semantic", "--deep"], "--deep"),
        (["verify", "lucene"], "lucene"),
        (["dlq", "show", "41"], "partition:offset"),
        (["dlq", "replay"], "--all"),
        (["dlq", "replay", "0:1", "--all"], "--all"),
        (["dlq", "purge"], "--all"),
    ],
)
def test_wrong_use_ends_with_status_2_and_names_the_argument(arguments: list[str], told: str) -> None:
    """Usage errors are told apart from failures."""
    result = run_command(arguments, {})
    assert result.returncode == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"EMBED_SEARCH_PROT": "80"}, "EMBED_SEARCH_PROT"),
        ({"EMBED_SEARCH_PORT": "eighty"}, "EMBED_SEARCH_PORT"),
        ({}, "KAFKA_BOOTSTRAP_SERVERS"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "DATABASE_URL"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": "postgresql://x"}, "MODEL_PATH"),
    ],
)
def test_a_setting_that_is_unknown_wrong_or_missing_stops_the_start_by_name(
    environment: dict[str, str], told: str
) -> None:
    """Nothing starts half configured."""
    result = run_command(["index"], environment)
    assert result.returncode == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [["search", "x"], ["status"], ["publish", "README.md"], ["wait", "e30"], ["verify"]]
)
def test_client_commands_say_when_no_system_answers(arguments: list[str]) -> None:
    """One line that names the address and what to do; status 1."""
    url = f"http://127.0.0.1:{free_port()}"
    result = run_command(arguments, {"EMBED_SEARCH_URL": url})
    assert result.returncode == 1
    assert url in result.stderr
    assert "Traceback" not in result.stderr


def test_doctor_finds_a_missing_model_and_says_how_to_mend_it(tmp_path: Path) -> None:
    """Broken findings end with status 1 and name the cure."""
    result = run_command(["doctor", "--json"], {"MODEL_PATH": str(tmp_path / "none.gguf")})
    assert result.returncode == 1
    findings = {finding["subject"]: finding for finding in json.loads(result.stdout)}
    assert findings["embedding model"]["verdict"] == "broken"
    assert "MODEL_PATH" in findings["embedding model"]["mend"]
    assert findings["python"]["verdict"] == "ok"


def test_up_refuses_a_port_that_is_taken_naming_the_option(tmp_path: Path) -> None:
    """The message names the port and how to choose another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_command(["up", "--data-dir", str(tmp_path / "data"), "--port", str(port)], {})
    assert result.returncode == 1
    assert str(port) in result.stderr
    assert "--port" in result.stderr


def test_verify_names_the_damaged_file_and_compares_scores(tmp_path: Path) -> None:
    """Exit status 0 while all is sound; 1, and the file's name, after a flipped bit."""
    environment = {"EMBED_SEARCH_DATA_DIR": str(tmp_path), "EMBED_SEARCH_INDEXES": "bm25"}
    generation = open_or_create_live(tmp_path / "indexes", bm25.generation_settings())
    writer = bm25.Bm25Writer(generation)
    writer.apply([Upsert(Document(id=DocumentId("a"), body="replay the stream"), Position(0, 0, 0))])
    writer.commit(Watermark("t", "c", {0: 1}, 0))
    writer.close()
    sound = run_command(["verify", "--deep"], environment)
    assert sound.returncode == 0, sound.stderr
    assert "1 queries compared with rank_bm25: 0 differ" in sound.stdout
    segment = next(generation.directory.glob("*.segment"))
    segment.write_bytes(bytes([segment.read_bytes()[0] ^ 1]) + segment.read_bytes()[1:])
    damaged = run_command(["verify", "--deep"], environment)
    assert damaged.returncode == 1
    assert str(segment) in damaged.stdout
