"""A command that was started in a terminal and goes on in a session of its own."""

import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.system.processes import lives
from tests.system.sessions import as_in_a_terminal, sessions_compete
from tests.system.waiting import until

_COMMAND = """
import os, signal, sys, time
from infra.cli.session import lead_own_session
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may ignore it, and SIGHUP
signal.signal(signal.SIGHUP, signal.SIG_DFL)
first = os.getpid()
lead_own_session()
print(first, os.getpid(), os.getsid(0), flush=True)
{then}
"""
_WAITING = "time.sleep(60)"


@contextmanager
def _command(then: str) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """One as in a terminal: its shell; and its first process, that in which it goes on, and the session of that."""
    with as_in_a_terminal(["-c", _COMMAND.format(then=then)], subprocess.PIPE) as shell:
        try:
            assert shell.stdout is not None
            yield shell, [int(number) for number in shell.stdout.readline().split()]
        finally:
            shell.kill()


def test_it_leads_a_session_and_its_status_is_that_of_the_command() -> None:
    """Where sessions are scheduled against each other; elsewhere nothing is changed."""
    with _command("print('said'); sys.exit(7)") as (shell, (first, then, session)):
        assert shell.wait(60) == 7
        assert shell.stdout is not None
        assert shell.stdout.read() == "said\n"
    assert (then != first) == sessions_compete()
    assert (session == then) == sessions_compete()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_it(number: signal.Signals) -> None:
    """Sent to the process that the terminal knows, which ends as the command does."""
    with _command(_WAITING) as (shell, (first, then, _)):
        command = psutil.Process(then)
        os.kill(first, number)
        assert shell.wait(60) == 128 + number
        assert not lives(command)


async def test_it_stands_while_the_process_that_the_terminal_knows_does() -> None:
    """Ctrl-Z and `fg`."""
    with _command(_WAITING) as (_, pids):

        def have(*states: str) -> Callable[[], Awaitable[bool]]:
            async def met() -> bool:
                return all(psutil.Process(pid).status() in states for pid in pids[:2])

            return met

        os.kill(pids[0], signal.SIGTSTP)
        await until(have(psutil.STATUS_STOPPED), "both stand", 60)
        os.kill(pids[0], signal.SIGCONT)
        await until(have(psutil.STATUS_SLEEPING), "both go on", 60)


async def test_it_is_killed_with_the_process_that_the_terminal_knows() -> None:
    """`kill -9` of a command leaves nothing of it behind."""
    with _command(_WAITING) as (_, (first, then, _)):
        command = psutil.Process(then)
        os.kill(first, signal.SIGKILL)

        async def gone() -> bool:
            return not lives(command)

        await until(gone, "the command is gone", 60)
