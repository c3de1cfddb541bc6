import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from infra.setup.artifacts import LOCK, Artifacts, cache_directory
from infra.setup.errors import SetupError
from infra.setup.kafka_jars import KafkaJars, pinned_jars
from infra.setup.llama import RECIPE, Built, LlamaWheel, locked_sdist
from infra.setup.prerequisites import missing_compilers, missing_java, missing_maven
from infra.setup.processor import Processor, this_processor
from infra.setup.report import Advance, Report
from infra.setup.steps import complete

_REPOSITORY = Path(__file__).parents[2]
_WITHIN = 30.0


class Letter:
    """A step that writes a file aside and renames it, as all real ones do."""

    def __init__(self, place: Path, *, between: Callable[[], None] = lambda: None, missing: str = "") -> None:
        self.title = place.name
        self.runs = 0
        self._place = place
        self._between = between
        self._missing = missing

    def done(self) -> bool:
        """Whether the file is there."""
        return self._place.exists()

    def missing(self) -> list[str]:
        """What the test says is missing."""
        return [self._missing] if self._missing else []

    def run(self, advance: Advance) -> None:
        """Write it."""
        self.runs += 1
        unfinished = self._place.with_suffix(".unfinished")
        unfinished.write_text("letter")
        advance(0.5, "half")
        self._between()
        unfinished.rename(self._place)


@pytest.fixture
def output() -> io.StringIO:
    """What a person sees."""
    return io.StringIO()


@pytest.fixture
def report(output: io.StringIO) -> Report:
    """A report that is not a terminal."""
    return Report(Console(file=output, width=200))


def test_only_what_is_not_done_is_done_and_then_nothing_is_said(
    tmp_path: Path, report: Report, output: io.StringIO
) -> None:
    """The second time costs nothing and prints nothing."""
    steps = [Letter(tmp_path / "a"), Letter(tmp_path / "b")]
    (tmp_path / "a").touch()
    complete(steps, root=tmp_path, report=report)
    assert output.getvalue() == "b ...\nb: 50% half\nb: done\n"
    complete(steps, root=tmp_path, report=report)
    assert (steps[0].runs, steps[1].runs) == (0, 1)
    assert output.getvalue().count("\n") == 3


def test_an_interrupted_step_is_done_again_and_the_others_are_not(tmp_path: Path, report: Report) -> None:
    """Ctrl-C in the middle leaves nothing that passes for done."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    first, second = Letter(tmp_path / "a"), Letter(tmp_path / "b", between=interrupt)
    with pytest.raises(KeyboardInterrupt):
        complete([first, second], root=tmp_path, report=report)
    assert (first.done(), second.done()) == (True, False)
    again = Letter(tmp_path / "b")
    complete([first, again], root=tmp_path, report=report)
    assert (first.runs, again.done()) == (1, True)


def test_all_that_is_missing_is_said_at_once_and_only_for_what_is_to_do(tmp_path: Path, report: Report) -> None:
    """One line for each missing thing, before anything is begun; a step that is done needs nothing."""
    (tmp_path / "a").touch()
    steps = [Letter(tmp_path / "a", missing="install a"), Letter(tmp_path / "b", missing="install b")]
    with pytest.raises(SetupError) as refusal:
        complete(steps, root=tmp_path, report=report, missing=["install java"])
    assert str(refusal.value) == "install java\ninstall b"
    assert steps[1].runs == 0


def test_a_second_setup_waits_and_finds_the_work_done(tmp_path: Path, output: io.StringIO) -> None:
    """It names the process that it waits for, and does not do again what that one did."""
    holds = (
        "import sys; from pathlib import Path; from infra.supervisor.file_lock import locked\n"
        "with locked(Path(sys.argv[1]) / 'setup.lock'):\n"
        "    print('held', flush=True); sys.stdin.readline(); (Path(sys.argv[1]) / 'a').touch()\n"
    )
    argv = [sys.executable, "-c", holds, str(tmp_path)]
    with subprocess.Popen(argv, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()

        def say(line: str) -> None:
            assert other.stdin is not None
            other.stdin.write("\n")
            other.stdin.flush()
            output.write(line)

        step = Letter(tmp_path / "a")
        waiting = Report(Console(file=output))
        waiting.say = say  # type: ignore[method-assign]  # the line is the moment at which the other one may go on
        complete([step], root=tmp_path, report=waiting)
    assert output.getvalue() == f"waiting for the set-up of process {other.pid}"
    assert step.runs == 0


def test_a_terminal_sees_a_bar_for_each_step(tmp_path: Path) -> None:
    """On a terminal the title stands beside a bar."""
    output = io.StringIO()
    report = Report(Console(file=output, force_terminal=True, width=120))
    complete([Letter(tmp_path / "a")], root=tmp_path, report=report)
    assert "100%" in output.getvalue()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"EMBED_SEARCH_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/embed-search"),
        ({}, "~/.cache/embed-search"),
    ],
)
def test_the_cache_directory_can_be_chosen(environment: dict[str, str], expected: str) -> None:
    """Our own variable goes before the conventional one, and that before the home directory."""
    assert cache_directory(environment) == Path(expected).expanduser()


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ('openjdk version "17.0.15" 2025-04-15', None),
        ('openjdk version "25" 2025-09-16', None),
        ('java version "1.8.0_392"', "Java 8 is too old: install a JDK 17 or newer"),
        ("Error: no such thing", "does not run: install a JDK 17 or newer"),
    ],
)
def test_java_is_asked_for_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, message: str | None
) -> None:
    """Old and broken ones are named for what they are."""
    _program(tmp_path / "java", f"echo '{version}' >&2")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = missing_java()
    assert found == message or (message is not None and found is not None and message in found)


def test_what_is_missing_is_said_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each, with the package's name."""
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = [missing_java(), missing_maven(), missing_compilers()]
    packages = ["default-jdk-headless", "apt install maven", "apt install g++"]
    assert all(line and "\n" not in line and package in line for line, package in zip(lines, packages, strict=True))


def test_a_missing_program_ends_set_up_with_one_line(tmp_path: Path) -> None:
    """The command as a person types it: exit 1 and a line, no traceback."""
    environment = {"PATH": str(tmp_path), "EMBED_SEARCH_CACHE_DIR": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-m", "infra.setup"],
        cwd=_REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Java is missing: install a JDK 17 or newer" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "cache").exists()


def test_everything_is_there_after_make_setup(artifacts: Artifacts) -> None:
    """The whole of set-up is done, and says nothing, even with no network and no build tools."""
    environment = {
        "PATH": os.path.dirname(shutil.which("java") or ""),  # noqa: PTH120 - a string for PATH
        "HOME": os.environ.get("HOME", "/"),
        "EMBED_SEARCH_CACHE_DIR": str(artifacts.root),
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }
    result = subprocess.run(
        [sys.executable, "-m", "infra.setup"],
        cwd=_REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_jars_that_are_not_the_pinned_ones_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a mirror sends, only the known jars become part of the broker."""
    fake = (
        'for argument; do case "$argument" in -DoutputDirectory=*) echo evil > "${argument#*=}/kafka.jar";; esac; done'
    )
    _program(tmp_path / "bin" / "mvn", fake)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    step = KafkaJars(Artifacts(tmp_path))
    with pytest.raises(SetupError, match=r"jars are not those of .*jars\.sha256: .*kafka\.jar"):
        step.run(lambda *_: None)
    assert not step.done()


def test_a_failing_program_is_told_with_its_last_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has what to do, the last lines, and where all of them are."""
    _program(tmp_path / "bin" / "mvn", "echo 'no route to host'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(SetupError, match=r"mvn failed; check the network(.|\n)*maven\.log:\n  no route to host"):
        KafkaJars(Artifacts(tmp_path)).run(lambda *_: None)


def test_the_jars_are_those_of_the_pinned_kafka(artifacts: Artifacts) -> None:
    """Every jar is there and no other."""
    assert {jar.name for jar in artifacts.kafka_jars.iterdir()} == set(pinned_jars())


def test_the_source_of_llama_cpp_is_the_locked_one() -> None:
    """Address, checksum and size come from the lock file."""
    sdist = locked_sdist(LOCK, "llama-cpp-python")
    assert sdist.name.startswith("llama_cpp_python-")
    assert len(sdist.sha256) == 64


def test_a_wheel_for_another_processor_is_not_used(tmp_path: Path) -> None:
    """A home directory may be shared between machines: only code that this processor can run counts."""
    step = LlamaWheel(Artifacts(tmp_path))
    here = this_processor()
    for number, flags in enumerate((here.flags | {"a_new_instruction"}, frozenset(list(here.flags)[:-1]))):
        wheel = tmp_path / "wheels" / f"llama-{number}" / "llama.whl"
        wheel.parent.mkdir(parents=True)
        wheel.touch()
        built = Built(step._sdist.sha256, RECIPE, Processor(here.machine, frozenset(flags)))
        (wheel.parent / "built.json").write_bytes(msgspec.json.encode(built))
        assert step.done() == (number == 1)
    assert step.kept() == tmp_path / "wheels" / "llama-1" / "llama.whl"


def test_processors_are_told_apart(tmp_path: Path) -> None:
    """Code runs where everything that it was compiled for is there, on the same system."""
    (tmp_path / "x86").write_text("processor : 0\nflags\t\t: sse avx\n")
    (tmp_path / "arm").write_text("Features : neon sve\n")
    old, arm = this_processor(tmp_path / "x86"), this_processor(tmp_path / "arm")
    new = Processor(old.machine, frozenset({"sse", "avx", "avx512f"}))
    assert old.flags == {"sse", "avx"}
    assert arm.flags == {"neon", "sve"}
    assert (new.runs_code_for(old), old.runs_code_for(new), arm.runs_code_for(old)) == (True, False, False)
    assert not Processor("another system", new.flags).runs_code_for(old)


def test_bootstrap_without_python_is_one_line(tmp_path: Path) -> None:
    """On a machine with neither uv nor Python the message says what to install."""
    for tool in ("bash", "dirname", "mkdir", "env"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    result = subprocess.run(
        [_REPOSITORY / "infra" / "setup" / "bootstrap.sh"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=_WITHIN,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("set-up stopped: Python is missing: install Python 3.11, 3.12 or 3.13")


def _program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
