"""How a `Service` becomes a process: the one command line and the one way to kill, for every kind of supervisor."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

import psutil

from infra.supervisor.service import Service

LAUNCH: Final = Path(__file__).with_name("launch.py")


def launch_argv(service: Service) -> list[str]:
    """The command line that starts the service as a child of this process, dying when this process dies."""
    uid, gid = (service.account.uid, service.account.gid) if service.account else (-1, -1)
    tied_to_us = [str(os.getpid()), str(int(service.death_signal)), str(uid), str(gid)]
    return [sys.executable, "-I", "-S", str(LAUNCH), *tied_to_us, *service.argv]


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def kill_group(group: int) -> None:
    """Kill what is left of a process group: a service's own children must not outlive it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM when only zombies are left
        os.killpg(group, signal.SIGKILL)


def kill_tree(pid: int) -> None:
    """Kill a service and every descendant, those included that left its process group."""
    with contextlib.suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(pid).children(recursive=True)
        kill_group(pid)
        for descendant in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                descendant.kill()
