"""Connections are shared out among workers."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from api.process.accepting import ALIVE_SECONDS, LEFT_SECONDS, LEFT_TIMES, MORE, Acceptor, Connections
from tests.system.waiting import until

CLIENTS = 12
SOON = 10.0


class Connection(asyncio.Protocol):
    """One that knows which worker has it."""

    def __init__(self, taken: list["Connection"]) -> None:
        self._tell: Callable[[], object] = list
        self.transport: asyncio.BaseTransport | None = None
        taken.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as the loop calls it
        """It is gone."""
        self._tell()

    def tell_when_lost(self, tell: Callable[[], object]) -> None:
        """As `TimedProtocol.tell_when_lost`."""
        self._tell = tell


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """What workers share."""
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        listener.setblocking(False)  # noqa: FBT003 - named so by the library
        yield listener


@asynccontextmanager
async def accepting(listener: socket.socket, connections: Connections) -> AsyncIterator[list[Connection]]:
    """One worker, and what it has taken; it has a handle of its own of the listener, as a process has."""
    taken = list[Connection]()
    with listener.dup() as own:
        acceptor = Acceptor(asyncio.get_running_loop(), own, lambda: Connection(taken), connections)  # type: ignore[arg-type, return-value] # enough of one
        try:
            yield taken
        finally:
            acceptor.close()
            await acceptor.wait_closed()
            for connection in taken:
                if connection.transport is not None:
                    connection.transport.close()


async def connect(listener: socket.socket, stack: AsyncExitStack) -> socket.socket:
    """One more client."""
    client = stack.enter_context(socket.socket())
    client.setblocking(False)  # noqa: FBT003 - see above
    await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
    return client


async def taken_by_all(workers: list[list[Connection]], count: int) -> None:
    """Wait until so many connections were taken."""

    async def are_taken() -> bool:
        return sum(map(len, workers)) == count

    await until(are_taken, f"{count} connections are taken", seconds=SOON)


async def test_workers_have_as_many_as_one_another(listener: socket.socket, tmp_path: Path) -> None:
    """However quick one of them is; and those that come when some are lost make up for it."""
    connections = [Connections(tmp_path, "80", name) for name in "ab"]
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(accepting(listener, each)) for each in connections]
        connections[0].beat()  # which has begun before the other was there
        for number in range(CLIENTS):
            await connect(listener, stack)
            await taken_by_all(workers, number + 1)
        assert max(map(len, workers)) <= CLIENTS // 2 + 1
        for connection in workers[1]:
            assert connection.transport is not None
            connection.transport.close()

        async def are_lost() -> bool:
            return connections[1].open == 0

        await until(are_lost, "the connections are lost", seconds=SOON)
        for number in range(CLIENTS // 2):
            await connect(listener, stack)
            await taken_by_all(workers, CLIENTS + number + 1)
        assert max(each.open for each in connections) <= MORE * min(each.open for each in connections) + 1


async def test_a_connection_that_no_other_takes_is_taken(listener: socket.socket, tmp_path: Path) -> None:
    """After it was left to others for a few milliseconds."""
    idle, own = Connections(tmp_path, "80", "idle"), Connections(tmp_path, "80", "own")
    own.made()
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(accepting(listener, own))
        assert own.is_more_than_another()
        began = asyncio.get_running_loop().time()
        await connect(listener, stack)
        await taken_by_all([worker], 1)
        assert LEFT_SECONDS * LEFT_TIMES <= asyncio.get_running_loop().time() - began < ALIVE_SECONDS
        await connect(listener, stack)  # as it would be if the last one had not been left to others
        await taken_by_all([worker], 2)
    idle.close()


async def test_a_shortage_passes(listener: socket.socket) -> None:
    """What cannot be accepted now is accepted later."""
    alone, refused, raised = Connections(None, "80", "alone"), list[int](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(accepting(_Short(listener.dup(), refused), alone))
        await connect(listener, stack)
        await taken_by_all([worker], 1)
    assert (refused, raised) == ([errno.EMFILE], [])


class _Short(socket.socket):
    """A listener that has no handle left, once."""

    def __init__(self, listener: socket.socket, refused: list[int]) -> None:
        super().__init__(fileno=listener.detach())
        self._refused = refused

    def dup(self) -> "_Short":
        """Itself, whose handle nobody else has."""
        return self

    def accept(self) -> tuple[socket.socket, object]:
        """As a system would that is out of handles."""
        if not self._refused:
            self._refused.append(errno.EMFILE)
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_of_hundreds_not_each_one_counts(tmp_path: Path) -> None:
    """Workers that hundreds come to at once would wait for one another at each of them."""
    own, other = Connections(tmp_path, "80", "own"), Connections(tmp_path, "80", "other")
    own.beat()
    for _ in range(80):
        other.made()
    for _ in range(100):
        own.made()
    assert not own.is_more_than_another()
    own.made()
    assert own.is_more_than_another()


def test_who_has_not_been_heard_of_does_not_count(tmp_path: Path) -> None:
    """A worker that hangs, was killed or has ended would be left connections for ever."""
    now = 100.0
    own, other = (Connections(tmp_path, "80", name, clock=lambda: now) for name in ("own", "other"))
    own.made()
    own.beat()
    assert own.is_more_than_another()
    other.made()
    assert not own.is_more_than_another()
    other.lost()
    now += ALIVE_SECONDS
    assert not own.is_more_than_another()
    other.beat()
    assert own.is_more_than_another()
    other.close()
    own.beat()
    assert not own.is_more_than_another()


def test_workers_of_another_server_do_not_count(tmp_path: Path) -> None:
    """They take no connections of this one, though they may share its directory."""
    own, other = Connections(tmp_path, "80", "own"), Connections(tmp_path, "8080", "other")
    own.made()
    own.beat()
    assert not own.is_more_than_another()
    other.close()
    assert Path(tmp_path / "connections-80-own").exists()


def test_what_a_killed_worker_leaves_is_removed(tmp_path: Path) -> None:
    """In the end; a directory that lives on fills up with nothing."""
    now = 100.0
    own, killed = (Connections(tmp_path, "80", name, clock=lambda: now) for name in ("own", "killed"))
    killed.beat()
    for _ in range(2):
        own.beat()
        assert len(list(tmp_path.iterdir())) == 2
        now += 50.0
    own.beat()
    assert [path.name for path in tmp_path.iterdir()] == ["connections-80-own"]
    own.close()
    assert not list(tmp_path.iterdir())
