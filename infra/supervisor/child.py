"""One run of one service: its process from start to end, its output, and a stop that cannot fail."""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from io import FileIO

from infra.supervisor.launching import kill_group, kill_tree, launch_argv, send
from infra.supervisor.log_file import LogFile
from infra.supervisor.service import Service, StartError

_PIPE_BYTES = 1 << 20
"""What a service may print before it has to wait for us; the most that Linux gives without being asked by root."""

_CHUNK = 1 << 16
_GATHERED_SECONDS = 0.05
"""Output is taken up this much later than it comes, unless there is much of it. A process that prints a line would
wake this one each time otherwise, and wait for it where processors are short: each search prints one."""

_PROBE_EVERY = 0.1
_PROBE_WITHIN = 5.0
_OUTPUT_WITHIN = 2.0


class NotReadyError(Exception):
    """The service ended, or did not become ready in time; the message says which."""


class Child:
    """A running process of a service; made by `start`.

    Args:
        service: what runs.
        process: its process, leader of a process group of its own.
        output: the end of the pipe that its output arrives at.
        log: where its output goes.
        log_lost: told once when the log cannot be written any more.
    """

    def __init__(
        self,
        service: Service,
        process: asyncio.subprocess.Process,
        output: FileIO,
        log: LogFile,
        log_lost: Callable[[OSError], None],
    ) -> None:
        self._service = service
        self._process = process
        self._log = log
        self._log_lost = log_lost
        self._output = asyncio.create_task(self._keep_output(output), name=f"output of {service.name}")
        self._exit = asyncio.create_task(process.wait(), name=f"exit of {service.name}")

    @classmethod
    async def start(cls, service: Service, log: LogFile, log_lost: Callable[[OSError], None]) -> "Child":
        """Start the service's process; call it on the main thread, to whose life the kernel ties the child's."""
        log.forget()
        # Not asyncio's own pipe: with that one, the wait for the process ends only when nobody holds the pipe any
        # more, and a grandchild may hold it for ever.
        read_end, write_end = os.pipe()
        with contextlib.suppress(PermissionError):  # who has many pipes gets small ones
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        with os.fdopen(write_end, "wb") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *launch_argv(service),
                    env=service.env,
                    cwd=service.cwd,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                )
            except BaseException:
                os.close(read_end)
                raise
        return cls(service, process, FileIO(read_end, "rb"), log, log_lost)

    @property
    def pid(self) -> int:
        """The process id, which is the group's id too."""
        return self._process.pid

    async def ready(self) -> None:
        """Wait until the service says that it is ready.

        Raises:
            NotReadyError: it ended before, or it took too long.
        """
        deadline = time.monotonic() + self._service.ready_within
        while not await self._probe():
            done, _ = await asyncio.wait({self._exit}, timeout=_PROBE_EVERY)
            if done:
                raise NotReadyError(self.describe_exit())
            if time.monotonic() > deadline:
                raise NotReadyError(f"not ready after {self._service.ready_within:.0f} s")
        if self._exit.done():
            raise NotReadyError(self.describe_exit())

    async def exited(self) -> None:
        """Wait for the end of the process, then end what it left behind."""
        await asyncio.shield(self._exit)
        await self._clean_up()

    async def stop(self, hurry: asyncio.Event) -> bool:
        """Ask the process to stop, and kill it after its time limit or when we are in a hurry.

        Returns:
            Whether it had to be killed.
        """
        if not self._exit.done():
            send(self.pid, self._service.stop_signal)
        impatience = asyncio.create_task(hurry.wait())
        try:
            await asyncio.wait(
                {self._exit, impatience}, timeout=self._service.stop_within, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            impatience.cancel()
        killed = not self._exit.done()
        if killed:
            kill_tree(self.pid)
        await self.exited()
        return killed

    def describe_exit(self) -> str:
        """How the process ended, in a few words."""
        code = self._process.returncode
        if code is None:
            return "still running"
        return f"killed by signal {-code}" if code < 0 else f"ended with status {code}"

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_WITHIN):
                return await self._service.ready()
        except OSError:  # TimeoutError is one too
            return False
        except StartError as exc:
            raise NotReadyError(str(exc)) from exc
        except Exception as exc:
            raise NotReadyError(f"its readiness probe failed: {exc!r}") from exc

    async def _clean_up(self) -> None:
        kill_group(self.pid)
        with contextlib.suppress(TimeoutError):  # something that left the group may hold the pipe open
            await asyncio.wait_for(self._output, _OUTPUT_WITHIN)
        self._log.close()

    async def _keep_output(self, output: FileIO) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), output
        )
        try:
            writable = True
            while chunk := await reader.read(_CHUNK):
                self._log.remember(chunk)
                writable = writable and await self._write(chunk)
                if len(chunk) < _CHUNK:
                    transport.pause_reading()  # nobody is woken now
                    await asyncio.sleep(_GATHERED_SECONDS)
                    transport.resume_reading()
        finally:
            transport.close()

    async def _write(self, chunk: bytes) -> bool:
        """Write to the log file; the first failure is the last try of this run."""
        try:
            await asyncio.to_thread(self._log.write, chunk)
        except OSError as exc:
            self._log_lost(exc)
            return False
        return True
