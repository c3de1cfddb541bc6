import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from infra.supervisor.backoff import Backoff
from infra.supervisor.events import Failed, LogLost, Ready, Started, Stopped, Stopping
from infra.supervisor.launching import LAUNCH, launch_argv
from infra.supervisor.service import Service, StartError
from infra.supervisor.supervisor import Supervisor
from tests.infra.journal import WITHIN, Journal, python, supervising

_SLEEPS = python("import time; time.sleep(1000)")
_DEAF = python(
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(1000)"
)


class _FileProbe:
    """Ready once a file is there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __call__(self) -> bool:
        return self._path.exists()


class _LogProbe:
    """Ready once a log says a word."""

    def __init__(self, path: Path, word: str) -> None:
        self._path = path
        self._word = word

    async def __call__(self) -> bool:
        return self._path.exists() and self._word in self._path.read_text()


async def test_a_killed_service_is_started_again(tmp_path: Path) -> None:
    """Kill -9 of a child is told with its signal, and another process takes its place."""
    journal = Journal()
    async with supervising([Service(name="a", argv=_SLEEPS)], tmp_path, journal):
        first = await journal.next(Started, "a")
        await journal.next(Ready, "a")
        os.kill(first.pid, signal.SIGKILL)
        failed = await journal.next(Failed, "a")
        second = await journal.next(Started, "a")
        await journal.next(Ready, "a")
    assert failed.reason == "killed by signal 9"
    assert first.pid != second.pid
    assert not psutil.pid_exists(second.pid)


async def test_services_start_after_those_they_need_and_stop_before_them(tmp_path: Path) -> None:
    """A dependent waits until the other is ready, and the other outlives it."""
    flag = tmp_path / "flag"
    needed = Service(name="needed", argv=_SLEEPS, ready=_FileProbe(flag))
    dependent = Service(name="dependent", argv=_SLEEPS, after=frozenset({"needed"}))
    journal = Journal()
    async with supervising([dependent, needed], tmp_path, journal) as supervisor:
        await journal.next(Started, "needed")
        assert journal.names(Started) == ["needed"]
        flag.touch()
        assert await asyncio.wait_for(supervisor.ready(), WITHIN)
    assert journal.names(Ready) == ["needed", "dependent"]
    assert journal.names(Stopping) == journal.names(Stopped) == ["dependent", "needed"]


async def test_the_last_words_of_a_dead_service_are_told_and_kept(tmp_path: Path) -> None:
    """What a service printed before it ended comes with the event and is in its log file."""
    journal = Journal()
    talks = python("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")
    async with supervising([Service(name="a", argv=talks)], tmp_path, journal):
        failed = await journal.next(Failed, "a")
    assert failed.reason == "ended with status 3"
    assert sorted(failed.tail) == ["one", "two"]
    assert "two" in (tmp_path / "a.log").read_text()


async def test_a_crash_loop_is_said_and_never_ends_the_rest(tmp_path: Path) -> None:
    """After some failures in a row the event says so, and the other service still runs."""
    journal = Journal()
    services = [Service(name="broken", argv=python("raise SystemExit(1)")), Service(name="well", argv=_SLEEPS)]
    async with supervising(services, tmp_path, journal, Backoff(first=0.001, longest=0.001, loop_after=3)):
        well = await journal.next(Started, "well")
        failures = [await journal.next(Failed, "broken") for _ in range(4)]
        assert psutil.pid_exists(well.pid)
    assert [failed.looping for failed in failures] == [False, False, True, True]
    assert [failed.failures for failed in failures] == [1, 2, 3, 4]


async def test_failures_are_forgotten_after_a_stable_time(tmp_path: Path) -> None:
    """A service that ran well for long starts anew at the shortest wait: the clock is ours, so no time passes."""
    now = 0.0
    waits: list[float] = []
    journal = Journal()

    async def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += 100.0 if len(waits) == 3 else 1.0

    def clock() -> float:
        nonlocal now
        now += 100.0 if len(waits) == 3 else 0.0  # the fourth run lasts long
        return now

    supervisor = Supervisor(
        [Service(name="a", argv=python("raise SystemExit(1)"))],
        logs=tmp_path,
        on_event=journal,
        backoff=Backoff(first=1.0, longest=100.0, stable_after=60.0),
        sleep=sleep,
        clock=clock,
        dice=lambda: 1.0,
    )
    run = asyncio.create_task(supervisor.run())
    failures = [await journal.next(Failed, "a") for _ in range(5)]
    supervisor.stop()
    await asyncio.wait_for(run, WITHIN)
    assert [failed.retry_in for failed in failures] == [1.0, 2.0, 4.0, 1.0, 2.0]


async def test_a_start_that_is_not_ready_in_time_counts_as_failed(tmp_path: Path) -> None:
    """A process that never becomes ready is stopped and started again."""
    journal = Journal()
    never = Service(name="a", argv=_SLEEPS, ready=_FileProbe(tmp_path / "never"), ready_within=0.2)
    async with supervising([never], tmp_path, journal):
        first = await journal.next(Started, "a")
        failed = await journal.next(Failed, "a")
        assert not psutil.pid_exists(first.pid)
    assert failed.reason == "not ready after 0 s"


async def test_a_failed_preparation_is_told_in_its_own_words(tmp_path: Path) -> None:
    """The message of a `StartError` is the reason, and another try follows."""
    journal = Journal()

    def prepare() -> None:
        raise StartError("the jars are missing: run `make setup`")

    async with supervising([Service(name="a", argv=_SLEEPS, prepare=prepare)], tmp_path, journal):
        failed = await journal.next(Failed, "a")
        await journal.next(Failed, "a")
    assert failed.reason == "the jars are missing: run `make setup`"
    assert journal.names(Started) == []


async def test_a_probe_that_breaks_is_told_and_tried_again(tmp_path: Path) -> None:
    """A readiness probe that raises something unforeseen never ends the supervisor."""
    journal = Journal()

    async def broken() -> bool:
        raise ValueError("no such thing")

    async with supervising([Service(name="a", argv=_SLEEPS, ready=broken)], tmp_path, journal):
        failed = await journal.next(Failed, "a")
        await journal.next(Started, "a")
    assert "no such thing" in failed.reason


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing program fails with its name in the last words."""
    journal = Journal()
    async with supervising([Service(name="a", argv=("/nowhere/program",))], tmp_path, journal):
        failed = await journal.next(Failed, "a")
    assert failed.tail == ("cannot run /nowhere/program: No such file or directory",)


async def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """A service that died of a full disk is explained, whatever else it printed."""
    journal = Journal()
    dies = python("import errno, os, sys; sys.exit(os.strerror(errno.ENOSPC))")
    async with supervising([Service(name="a", argv=dies)], tmp_path / "logs", journal):
        failed = await journal.next(Failed, "a")
    assert f"the disk of {tmp_path} is full: free some space" in failed.reason


async def test_a_log_that_cannot_be_written_is_told_once_and_harms_nobody(tmp_path: Path) -> None:
    """The service goes on without its log file."""
    (tmp_path / "a.log").mkdir()
    journal = Journal()
    async with supervising([Service(name="a", argv=_DEAF, stop_within=0.1)], tmp_path, journal):
        await journal.next(LogLost, "a")
    assert journal.names(LogLost) == ["a"]
    assert journal.names(Failed) == []


async def test_a_service_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    """SIGKILL follows the stop signal after the service's limit, and the event says so."""
    journal = Journal()
    deaf = Service(name="a", argv=_DEAF, ready=_LogProbe(tmp_path / "a.log", "deaf"), stop_within=0.2)
    async with supervising([deaf], tmp_path, journal):
        started = await journal.next(Started, "a")
        await journal.next(Ready, "a")
    assert journal.events[-1] == Stopped("a", killed=True)
    assert not psutil.pid_exists(started.pid)


async def test_a_second_stop_does_not_wait(tmp_path: Path) -> None:
    """Asked twice, the supervisor kills what it would have waited a minute for."""
    journal = Journal()
    deaf = Service(name="a", argv=_DEAF, ready=_LogProbe(tmp_path / "a.log", "deaf"), stop_within=60.0)
    async with supervising([deaf], tmp_path, journal) as supervisor:
        await journal.next(Ready, "a")
        supervisor.stop()
        await journal.next(Stopping, "a")
        supervisor.stop()
        stopped = await journal.next(Stopped, "a")
    assert stopped.killed


async def test_children_of_a_service_do_not_outlive_it(tmp_path: Path) -> None:
    """When a service dies, what it had started itself is ended before it starts again."""
    pid_file = tmp_path / "pid"
    forks = python(
        "import os, pathlib, subprocess, sys, time\n"
        f"child = subprocess.Popen([{_SLEEPS[0]!r}, '-c', 'import time; time.sleep(1000)'])\n"
        f"pathlib.Path({str(pid_file)!r} + '.new').write_text(str(child.pid))\n"
        f"os.rename({str(pid_file)!r} + '.new', {str(pid_file)!r})\n"
        "time.sleep(1000)\n"
    )
    journal = Journal()
    async with supervising([Service(name="a", argv=forks, ready=_FileProbe(pid_file))], tmp_path, journal):
        started = await journal.next(Started, "a")
        await journal.next(Ready, "a")
        grandchild = psutil.Process(int(pid_file.read_text()))
        os.kill(started.pid, signal.SIGKILL)
        await journal.next(Failed, "a")
        await asyncio.to_thread(psutil.wait_procs, [grandchild], WITHIN)
        assert not grandchild.is_running()


def test_an_interrupt_before_the_program_is_there_leaves_no_traceback() -> None:
    """Ctrl-C reaches every process of the terminal, also one that is about to become a service."""
    _, *options, _, parent, _, uid, gid, program = launch_argv(Service(name="a", argv=("unused",)))
    arguments = repr([parent, str(int(signal.SIGKILL)), uid, gid, program])
    code = f"import os, signal, sys; sys.path.insert(0, {str(LAUNCH.parent)!r}); import launch; "
    code += f"os.execvp = lambda *_: os.kill(os.getpid(), signal.SIGINT); launch.main({arguments})"
    ended = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")


async def test_stopping_before_anything_is_ready_ends_at_once(tmp_path: Path) -> None:
    """A stop during the start stops what has started and starts nothing more."""
    journal = Journal()
    slow = Service(name="slow", argv=_SLEEPS, ready=_FileProbe(tmp_path / "never"))
    later = Service(name="later", argv=_SLEEPS, after=frozenset({"slow"}))
    async with supervising([slow, later], tmp_path, journal) as supervisor:
        await journal.next(Started, "slow")
        waiting = asyncio.create_task(supervisor.ready())
        supervisor.stop()
        assert not await asyncio.wait_for(waiting, WITHIN)
    assert journal.names(Started) == ["slow"]


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ({"a": {"b"}, "b": {"a"}}, "services wait for each other"),
        ({"a": {"c"}}, "services wait for unknown ones: c"),
    ],
)
def test_dependencies_that_cannot_be_met_are_refused(tmp_path: Path, after: dict[str, set[str]], message: str) -> None:
    """A cycle or an unknown name is an error of the program, told at once."""
    services = [Service(name=name, argv=_SLEEPS, after=frozenset(others)) for name, others in after.items()]
    with pytest.raises(ValueError, match=message):
        Supervisor(services, logs=tmp_path, on_event=Journal())


def test_two_services_of_one_name_are_refused(tmp_path: Path) -> None:
    """Names are log files, so they are unique."""
    services = [Service(name="a", argv=_SLEEPS), Service(name="a", argv=_SLEEPS)]
    with pytest.raises(ValueError, match="not unique"):
        Supervisor(services, logs=tmp_path, on_event=Journal())
