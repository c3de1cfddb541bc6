"""Commands in the documents are ones that there are; that they work is told by `test_commands_run.py`."""

import re
from pathlib import Path

import pytest

from tests.documents.commands import PAGES, ROOT, Command, blocks, commands, mentions
from tests.documents.words import cli_faults, faults

COMMANDS = [command for page in PAGES for command in commands(page)]
_KINDS = frozenset({"console", "json", "markdown", "text"})
_TEST = re.compile(r"tests/[\w/]+\.py")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.place)
def test_a_command_could_be_run(command: Command) -> None:
    """Its programs, options, targets, settings and files are there."""
    assert faults(command.text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_said_in_passing_is_a_command(page: Path) -> None:
    """Without all of its arguments, perhaps, but with a name and options that there are."""
    said = [text.split()[1:] for text in mentions(page) if text != "embed-search COMMAND --help"]
    assert [fault for words in said for fault in cli_faults(words, whole=False)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_goes_unseen(page: Path) -> None:
    """A block is of a kind whose commands are looked at, or holds none; and one of commands has some."""
    assert [block.kind for block in blocks(page) if block.kind not in _KINDS] == []
    consoles = [block for block in blocks(page) if block.kind == "console"]
    assert all(any(line.startswith("$ ") for _, line in block.lines) for block in consoles)


def test_most_commands_are_run() -> None:
    """What is not run says why, and a test that it names there exists."""
    reasons = [command.not_run for command in COMMANDS if command.not_run]
    assert len(COMMANDS) - len(reasons) > 2 * len(reasons)
    assert [path for reason in reasons for path in _TEST.findall(reason) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("embed-search publsh x", "no command publsh"),
        ("embed-search search", "needs QUERY"),
        ("embed-search search x --limits 3", "No such option"),
        ("embed-search search x --limit 0", "not in the range"),
        ("embed-search rebuild bm52", "bm52"),
        ("token=$(embed-search publish) && make run", "needs PATHS"),
        ("EMBED_SEARCH_STEMMER=german embed-search status", "EMBED_SEARCH_STEMMER"),
        ("export EMBED_SEARCH_KAFKA=x", "EMBED_SEARCH_KAFKA"),
        ("echo x | embed-serch status", "embed-serch"),
        ("make tests", "tests"),
        ("python -m infra.nothing", "infra.nothing"),
        ("kubectl rollout undo deployment/embed-search", "deployment/embed-search"),
        ("docker compose --profile watching up", "watching"),
    ],
)
def test_a_mistake_is_seen(command: str, fault: str) -> None:
    """In names, options, values, targets, settings and files."""
    found = faults(command)
    assert len(found) == 1
    assert fault in found[0]


def test_several_lines_are_one_command(tmp_path: Path) -> None:
    """What a command prints is none, and a reason holds for its block alone."""
    page = tmp_path / "page.md"
    page.write_text(
        "```console\n$ curl x \\\n    -d y\nanswer\n$ make run\n```\n\n"
        "<!-- not run: takes long -->\n```console\n$ make test\n```\n"
    )
    found = [(command.line, command.text, command.not_run) for command in commands(page)]
    assert found == [(2, "curl x \\\n    -d y", ""), (5, "make run", ""), (10, "make test", "takes long")]
