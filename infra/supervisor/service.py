"""What the supervisor needs to know of a program in order to run it: one frozen value, no behaviour of its own."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec


class StartError(Exception):
    """A service cannot start, and the message says what the operator can do about it."""


class Account(msgspec.Struct, frozen=True):
    """The system account that a service runs as when we ourselves run as root."""

    name: str
    uid: int
    gid: int


async def ready_at_once() -> bool:
    """Report ready: for a service that has nothing to ask."""
    return True


def nothing_to_prepare() -> None:
    """Do nothing: for a service that needs no preparation."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A program under supervision.

    Args:
        name: unique; names the log file and appears in every message.
        argv: the program and its arguments; it must stay in the foreground.
        env: the whole environment of the program; None inherits ours.
        cwd: working directory; None inherits ours.
        account: run as this account (only root may ask for it).
        after: names of the services that must be ready before this one starts, and that stop only after it.
        prepare: runs in a thread before every start, the restarts too; raises `StartError` with a clear message.
        ready: asked until it says True; False or an `OSError` mean "not yet".
        ready_within: seconds after which a start without readiness counts as failed.
        stop_signal: asks the program to finish its work and leave.
        stop_within: seconds it has for that before its whole process group is killed.
        death_signal: what it receives when its supervisor dies without a goodbye.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    account: Account | None = None
    after: frozenset[str] = frozenset()
    prepare: Callable[[], None] = nothing_to_prepare
    ready: Callable[[], Awaitable[bool]] = ready_at_once
    ready_within: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 15.0
    death_signal: signal.Signals = signal.SIGKILL
