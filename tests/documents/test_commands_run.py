"""Every command that the documents show is run as it is shown, beside one real system; those of a page in one shell.

The addresses of the documents become those of the system, and an answer of the API that is an error fails its `curl`.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import msgspec
import pytest

from infra.supervisor.ports import free_port
from tests.documents.commands import PAGES, Command, commands
from tests.system.processes import Program, clean_environment, program
from tests.system.waiting import until

_START_SECONDS = 200.0
_PAGE_SECONDS = 240
_PRELUDE = """set -euo pipefail
curl() { command curl --fail-with-body "$@"; }
"""
_PROGRAMS = {"curl": "curl", "kcat": "kcat"}
"""What a machine may lack, and Debian's package of it."""


def _to_run() -> dict[Path, list[Command]]:
    """The commands of each page; one of ours that a page before it has shown as well is run there."""
    seen: set[str] = set()
    chosen: dict[Path, list[Command]] = {}
    for page in PAGES:
        shown = [command for command in commands(page) if not command.not_run and command.text not in seen]
        seen.update(command.text for command in shown if command.text.startswith("embed-search"))
        if shown:
            chosen[page] = shown
    return chosen


RUN = _to_run()


class Workplace(msgspec.Struct, frozen=True):
    """Where commands are run: a folder whose `data` are those of a running system."""

    folder: Path
    environment: dict[str, str]
    replaced: Mapping[str, str]

    def run(self, shown: list[Command]) -> "subprocess.CompletedProcess[str]":
        """Run commands in order in one shell, which stops at the first that fails."""
        script = _PRELUDE + "".join(f"echo '@ {command.place}'\n{command.text}\n" for command in shown)
        for address, own in self.replaced.items():
            script = script.replace(address, own)
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_PAGE_SECONDS,
        )


def _ready(up: Program) -> None:
    async def greeted() -> bool:
        assert up.running, up.output
        return "try it:" in up.output

    asyncio.run(until(greeted, "the system is ready", _START_SECONDS))


@pytest.fixture(scope="module")
def workplace(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """The whole system, as `up` starts it, and a folder beside its data."""
    for name, package in _PROGRAMS.items():
        assert shutil.which(name), f"{name} is missing: install it (Debian: apt-get install {package})"
    folder = tmp_path_factory.mktemp("commands")
    port = free_port()
    start = ["up", "--data-dir", str(folder / "data"), "--port", str(port)]
    with program(start, {"MODEL_PATH": str(model_path)}, folder / "up.log") as up:
        _ready(up)
        url = f"http://127.0.0.1:{port}"
        broker: str = httpx.get(f"{url}/system", trust_env=False).json()["bootstrap_servers"]
        environment = clean_environment()
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        environment["EMBED_SEARCH_URL"] = url
        replaced = {
            "127.0.0.1:8080": f"127.0.0.1:{port}",
            "127.0.0.1:9092": broker,
            "/backups/": f"{folder}/backups/",
        }
        yield Workplace(folder, environment, replaced)
        assert up.stop() == 0, up.output


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_commands_work_as_they_are_shown(workplace: Workplace, page: Path) -> None:
    """Each ends with status 0."""
    done = workplace.run(RUN[page])
    assert done.returncode == 0, f"at {done.stdout.rpartition('@ ')[2]}"


def test_a_command_that_fails_is_named(workplace: Workplace) -> None:
    """With what it printed, also where it is an answer of the API."""
    shown = [
        Command(PAGES[0], 7, "true"),
        Command(PAGES[0], 8, "curl -s 'http://127.0.0.1:8080/search?q=x&limit=0'"),
        Command(PAGES[0], 9, "true"),
    ]
    done = workplace.run(shown)
    assert done.returncode != 0
    assert f"{shown[1].place}\n" in done.stdout
    assert "limit" in done.stdout
    assert shown[2].place not in done.stdout
