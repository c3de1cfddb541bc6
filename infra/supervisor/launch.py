"""Becomes the program that it is told to run, tied to the life of the supervisor that asked for it.

A script, run by its path in an isolated interpreter, rather than a `preexec_fn`: Python code between fork and exec may
deadlock in a process that has threads. It drops privileges first, because the kernel forgets the parent-death signal
when the user id changes.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # before anything that takes time: no traceback of ours at Ctrl-C

import ctypes  # noqa: E402 - see above; and before another user, who may not be able to read it
import os  # noqa: E402
import sys  # noqa: E402

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Run `PARENT DEATH_SIGNAL UID GID PROGRAM ARGUMENT...`; a UID of -1 keeps the user."""
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    if uid >= 0:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        _die_with(parent, death_signal)
    # Python ignores these two, an ignored signal stays ignored across exec, and no program expects that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    program = arguments[4:]
    try:
        os.execvp(program[0], program)  # noqa: S606 - becoming this program, with no shell between, is the purpose
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


def _die_with(parent: int, death_signal: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above: no signal will come
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
