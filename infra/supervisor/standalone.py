"""Runs one service without a supervisor around it, for as long as a `with` block: what tests and one-off tools need."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.supervisor.launching import kill_group, kill_tree, launch_argv, send
from infra.supervisor.service import Service, StartError

_PROBE_EVERY = 0.1
_PROBE_WITHIN = 5.0
_TAIL_BYTES = 4096


@contextlib.contextmanager
def running(service: Service, *, log: Path) -> Iterator[None]:
    """Start a service, wait until it is ready, and stop it at the end of the block.

    Call it from the main thread: the kernel ties the child's life to the thread that starts it.

    Args:
        service: what to run; its `after` is the caller's business.
        log: the file that its output goes to.

    Raises:
        StartError: it ended, or was not ready in time; the message has the last lines of its output.
    """
    service.prepare()
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the argv is a Service's, never a user's
            launch_argv(service),
            env=service.env,
            cwd=service.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(service, process, log)
        yield
    finally:
        _stop(service, process)


def _wait_until_ready(service: Service, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + service.ready_within
    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop of its own
        while not thread.submit(asyncio.run, _probe(service)).result():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PROBE_EVERY)
                raise StartError(f"{service.name} ended with status {process.returncode}:\n{_tail(log)}")
            if time.monotonic() > deadline:
                raise StartError(f"{service.name} was not ready after {service.ready_within:.0f} s:\n{_tail(log)}")


async def _probe(service: Service) -> bool:
    try:
        async with asyncio.timeout(_PROBE_WITHIN):
            return await service.ready()
    except OSError:  # TimeoutError is one too
        return False


def _stop(service: Service, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        send(process.pid, service.stop_signal)
        try:
            process.wait(service.stop_within)
        except subprocess.TimeoutExpired:
            kill_tree(process.pid)
    process.wait()
    kill_group(process.pid)


def _tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
