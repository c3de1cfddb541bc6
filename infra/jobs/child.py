"""A command of ours as a child process: with the rights and settings of this one, bounded output, and a sure end."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from infra.supervisor.launching import kill_group, kill_tree, launch_argv, send
from infra.supervisor.service import Service
from streams.metrics import MULTIPROCESS_VARIABLE
from streams.settings import variable

MAX_OUTPUT_BYTES: Final = 16 << 20
STOP_SECONDS: Final = 10.0

_NAME: Final = "embed-search: "
_TAIL_BYTES: Final = 4_096
_NOT_HANDED_ON: Final = frozenset({MULTIPROCESS_VARIABLE, variable("indexer_port")})
"""The files of this process's metrics, and its port, are its own."""


class Finished(msgspec.Struct, frozen=True):
    """How a command ended.

    Attributes:
        status: its exit status; None when it was stopped.
        output: what it printed, as far as that is bounded.
        complaint: the last line of its errors, in which commands say why they failed.
    """

    status: int | None
    output: bytes
    complaint: str


async def run_command(arguments: Sequence[str], scratch: Path, until: Callable[[], Awaitable[None]]) -> Finished:
    """Run `embed-search ARGUMENTS` to its end; to be called on the main thread.

    Should this process die, so does the child. It prints to files: whoever waits for a pipe waits for all that hold it,
    which may be a child of the child.

    Args:
        arguments: of the command line.
        scratch: a folder for what it prints.
        until: returns when the command is to be stopped, however far it is.
    """
    env = {name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}
    service = Service(name=arguments[0], argv=(sys.executable, "-m", "infra.cli", *arguments), env=env)
    with (scratch / "output").open("w+b") as output, (scratch / "errors").open("w+b") as errors:
        process = await asyncio.create_subprocess_exec(
            *launch_argv(service),
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        stopped = await _ended(process, until)
        tail = _tail(errors).decode(errors="replace").strip().rpartition("\n")[2]
        output.seek(0)
        status = None if stopped else process.returncode
        return Finished(status, output.read(MAX_OUTPUT_BYTES), tail.removeprefix(_NAME))


async def _ended(process: asyncio.subprocess.Process, until: Callable[[], Awaitable[None]]) -> bool:
    """Wait for the end of a process, or bring it about.

    Returns:
        whether it was stopped.
    """
    ending, stopping = asyncio.create_task(process.wait()), asyncio.ensure_future(until())
    stopped = False
    try:
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopped = not ending.done()
        if stopped:
            send(process.pid, signal.SIGINT)  # as Ctrl-C: it lets go of what it holds
            await asyncio.wait({ending}, timeout=STOP_SECONDS)
    finally:
        stopping.cancel()
        if ending.done():
            kill_group(process.pid)  # what it may have left behind
        else:
            kill_tree(process.pid)
            await asyncio.wait({ending})
    return stopped


def _tail(file: BinaryIO) -> bytes:
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _TAIL_BYTES))
    return file.read()
