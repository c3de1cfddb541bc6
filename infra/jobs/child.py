"""A command of ours as a child process: with the rights and settings of this one, bounded output, and a sure end."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from infra.supervisor.launching import kill_tree, launch_argv, send
from infra.supervisor.service import Service
from streams.metrics import MULTIPROCESS_VARIABLE
from streams.settings import variable

MAX_OUTPUT_BYTES: Final = 16 << 20
STOP_SECONDS: Final = 10.0

_NAME: Final = "embed-search: "
_TAIL_BYTES: Final = 4_096
_CHUNK: Final = 1 << 16
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


async def run_command(arguments: Sequence[str], until: Callable[[], Awaitable[None]]) -> Finished:
    """Run `embed-search ARGUMENTS` to its end; to be called on the main thread.

    Should this process die, so does the child.

    Args:
        arguments: of the command line.
        until: returns when the command is to be stopped, however far it is.
    """
    env = {name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}
    service = Service(name=arguments[0], argv=(sys.executable, "-m", "infra.cli", *arguments), env=env)
    process = await asyncio.create_subprocess_exec(
        *launch_argv(service),
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    output = asyncio.create_task(_kept(process.stdout, first=MAX_OUTPUT_BYTES))
    errors = asyncio.create_task(_kept(process.stderr, last=_TAIL_BYTES))
    ending, stopping = asyncio.create_task(process.wait()), asyncio.ensure_future(until())
    try:
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopped = not ending.done()
        if stopped:
            send(process.pid, signal.SIGINT)  # as Ctrl-C: it lets go of what it holds
            await asyncio.wait({ending}, timeout=STOP_SECONDS)
    finally:
        stopping.cancel()
        kill_tree(process.pid)  # and what it may have left behind
        await asyncio.wait({ending, output, errors})
    complaint = errors.result().decode(errors="replace").strip().rpartition("\n")[2]
    return Finished(None if stopped else process.returncode, output.result(), complaint.removeprefix(_NAME))


async def _kept(stream: asyncio.StreamReader | None, *, first: int | None = None, last: int | None = None) -> bytes:
    """Read to the end, and keep the first or the last bytes."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        kept += chunk
        if first is not None:
            del kept[first:]
        if last is not None:
            del kept[:-last]
    return bytes(kept)
