"""Keeps a set of services running until told to stop, whatever happens to them meanwhile."""

import asyncio
import contextlib
import errno
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from infra.supervisor.backoff import Backoff
from infra.supervisor.child import Child, NotReadyError
from infra.supervisor.data_directory import explain
from infra.supervisor.events import Event, Failed, LogLost, Ready, Started, Stopped, Stopping
from infra.supervisor.guarding import Guard
from infra.supervisor.log_file import LogFile
from infra.supervisor.service import Service, StartError

_DISK_FULL = os.strerror(errno.ENOSPC)  # how every program of this machine words it


class Supervisor:
    """Starts services in the order of their dependencies, restarts what dies, and stops all in reverse order.

    Run it on the main thread. One `run` per supervisor.

    Args:
        services: what to run; names are unique, `after` names others of them.
        logs: directory of one log file per service; made when missing.
        on_event: told what happens, on the event loop; it must not block.
        backoff: how restarts are spaced.
        sleep: waits for so many seconds; a test hands in a shorter one.
        clock: monotonic seconds.
        dice: numbers in [0, 1) for the jitter.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        logs: Path,
        on_event: Callable[[Event], None],
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        _check(services)
        self._services = services
        self._logs = logs
        self._on_event = on_event
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._clock = clock
        self._dice = dice
        self._guard = Guard()
        self._was_ready = {service.name: asyncio.Event() for service in services}
        self._gone = {service.name: asyncio.Event() for service in services}
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Run the services until `stop`, and return when all of them are gone."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._guard:
            async with asyncio.TaskGroup() as tasks:
                for service in self._services:
                    tasks.create_task(self._keep(service), name=service.name)

    def stop(self) -> None:
        """Stop all services in an orderly way; asked again, kill what is still there."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was asked for."""
        return self._stopping.is_set()

    async def ready(self) -> bool:
        """Wait until every service has been ready once; False when we are stopped before."""
        everything = asyncio.gather(*(event.wait() for event in self._was_ready.values()))
        return await self._unless(self._stopping, everything)

    async def _keep(self, service: Service) -> None:
        """Run one service again and again until the supervisor stops."""
        log = LogFile(self._logs / f"{service.name}.log")
        failures = 0
        try:
            dependencies = asyncio.gather(*(self._was_ready[name].wait() for name in service.after))
            go_on = await self._unless(self._stopping, dependencies)
            while go_on:
                began = self._clock()
                reason = await self._run_once(service, log)
                if self._stopping.is_set():
                    return
                stable = self._clock() - began >= self._backoff.stable_after
                failures = 1 if stable else failures + 1
                go_on = await self._pause(service, reason, log.tail, failures)
        finally:
            self._gone[service.name].set()

    async def _run_once(self, service: Service, log: LogFile) -> str:
        """Run a service from start to end.

        Returns:
            Why it ended, for the log.
        """
        try:
            await asyncio.to_thread(service.prepare)
            if self._stopping.is_set():
                return "stopped before it started"
            child = await Child.start(
                service, log, lambda exc: self._on_event(LogLost(service.name, explain(exc, self._logs.parent)))
            )
        except StartError as exc:
            return str(exc)
        except OSError as exc:
            return explain(exc, self._logs.parent)
        except Exception as exc:  # noqa: BLE001 - preparing is a service's own code, and must never end the others
            return f"its preparation failed: {exc!r}"
        with self._guard.watching(child.pid, service.death_signal):
            began = self._clock()
            self._on_event(Started(service.name, child.pid))
            try:
                if await self._unless(self._stopping, child.ready()):
                    self._was_ready[service.name].set()
                    self._on_event(Ready(service.name, self._clock() - began))
                    await self._unless(self._stopping, child.exited())
            except NotReadyError as exc:
                await child.stop(self._hurry)
                return str(exc)
            except BaseException:
                await child.stop(_already())
                raise
            if self._stopping.is_set():
                await self._drain(service, child)
            return child.describe_exit()

    async def _pause(self, service: Service, reason: str, tail: tuple[str, ...], failures: int) -> bool:
        delay = self._backoff.delay(failures, self._dice)
        if any(_DISK_FULL in line for line in tail):
            reason = f"{reason}: {explain(OSError(errno.ENOSPC, _DISK_FULL), self._logs.parent)}"
        looping = failures >= self._backoff.loop_after
        self._on_event(Failed(service.name, reason, tail, delay, failures, looping))
        return await self._unless(self._stopping, self._sleep(delay))

    async def _drain(self, service: Service, child: Child) -> None:
        """Stop a service once those that depend on it are gone."""
        dependents = [other.name for other in self._services if service.name in other.after]
        await asyncio.gather(*(self._gone[name].wait() for name in dependents))
        self._on_event(Stopping(service.name))
        killed = await child.stop(self._hurry)
        self._on_event(Stopped(service.name, killed))

    @staticmethod
    async def _unless(event: asyncio.Event, work: Awaitable[object]) -> bool:
        """Wait for work to end, but no longer than until an event.

        Returns:
            Whether the work came first.
        """
        task = asyncio.ensure_future(work)
        interruption = asyncio.create_task(event.wait())
        try:
            await asyncio.wait({task, interruption}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return False
            await task
            return not event.is_set()
        finally:
            interruption.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def stopped_by_signals(supervisor: Supervisor) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP stop the supervisor for as long as the block; the second one hurries it."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, supervisor.stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _already() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def _check(services: Sequence[Service]) -> None:
    names = [service.name for service in services]
    if len(set(names)) != len(names):
        raise ValueError(f"service names are not unique: {', '.join(names)}")
    unknown = {name for service in services for name in service.after} - set(names)
    if unknown:
        raise ValueError(f"services wait for unknown ones: {', '.join(sorted(unknown))}")
    try:
        TopologicalSorter({service.name: service.after for service in services}).prepare()
    except CycleError as exc:
        raise ValueError(f"services wait for each other: {' -> '.join(exc.args[1])}") from exc
