"""TCP ports on this machine: find a free one and keep it, or say plainly who else holds the wanted one."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from infra.supervisor.service import StartError

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(port: int, *, purpose: str, option: str, host: str = LOOPBACK) -> None:
    """Check that we may listen on a port.

    Args:
        port: the wanted port.
        purpose: what it is for, as the message shall name it, for example `the API`.
        option: the option or setting that changes it, for example `--port`.
        host: the interface to listen on.

    Raises:
        StartError: it is taken or not allowed; the message names the port and the option.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection's TIME_WAIT is no listener
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise _refusal(port, purpose, option, exc) from exc


@contextmanager
def held_port(port: int, *, purpose: str, option: str, host: str = LOOPBACK) -> Iterator[None]:
    """Keep a free port from other systems of ours for as long as the block, while nobody listens on it too.

    A service listens seconds after its port was chosen. Two systems that start at once would choose the same, and one
    would use what the other's service keeps. What says that a port is taken is a name among the abstract Unix sockets:
    those are of one network namespace, as ports are, and go with their process, however that ends.

    Args:
        port: the wanted port.
        purpose: as `require_free_port`.
        option: as `require_free_port`.
        host: as `require_free_port`.

    Raises:
        StartError: it is held, taken or not allowed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as name:
        try:
            name.bind(f"\0embed-search/port/{port}")
        except OSError as exc:
            raise _refusal(port, purpose, option, exc) from exc
        require_free_port(port, purpose=purpose, option=option, host=host)
        yield


def _refusal(port: int, purpose: str, option: str, error: OSError) -> StartError:
    return StartError(f"port {port} for {purpose} {_complaint(error)}; choose another with {option}")


def _complaint(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is in use by another program"
    if error.errno == errno.EACCES:
        return "needs privileges that this user does not have"
    return f"cannot be opened ({error.strerror})"
