"""How processes step back for others."""

import os
import pwd
import subprocess
import sys

import pytest

from indexer.priority import session_niceness
from tests.system.sessions import sessions_compete

_STEPS = """
import ctypes, os, sys
from indexer.priority import session_niceness, step_back
user, *asked = sys.argv[1:]
if int(user) >= 0:
    os.setuid(int(user))  # not before the import: somebody else may not read the code
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: or its files in /proc remain root's until an exec
for niceness in asked:
    step_back(int(niceness), further=niceness.startswith("+"))
print(os.getpriority(os.PRIO_PROCESS, 0), session_niceness(os.getpid()))
"""


def _stepping(*niceness: str, leads: bool, user: int = -1) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _STEPS, str(user), *niceness]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=leads)


def _told(process: "subprocess.Popen[str]") -> list[str]:
    told, _ = process.communicate(timeout=60)
    return told.split()


@pytest.mark.parametrize(
    ("asked", "given"),
    [("10", "10"), ("10 5", "10"), ("5 19", "19"), ("0", "0"), ("+5", "5"), ("7 +5", "12"), ("17 +5", "19")],
)
def test_it_steps_back_as_far_as_was_asked_at_most(asked: str, given: str) -> None:
    """With its session, which it leads; and never forward again, which it would not be allowed."""
    assert _told(_stepping(*asked.split(), leads=True)) == [given, given if sessions_compete() else "None"]


def test_the_session_of_somebody_else_stays_where_it_is() -> None:
    """A command in a terminal does not slow down what the terminal runs next."""
    before = session_niceness(os.getpid())
    assert _told(_stepping("10", leads=False)) == ["10", str(before)]


def test_many_may_step_back_at_once() -> None:
    """The kernel takes one wish of all that are not root in a tenth of a second."""
    user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else -1
    processes = [_stepping("10", leads=True, user=user) for _ in range(4)]
    assert [_told(process) for process in processes] == [["10", "10" if sessions_compete() else "None"]] * 4
