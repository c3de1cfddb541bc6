"""TCP ports on this machine: find a free one, or say plainly who else holds the wanted one."""

import errno
import socket

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
            raise StartError(f"port {port} for {purpose} {_complaint(exc)}; choose another with {option}") from exc


def _complaint(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is in use by another program"
    if error.errno == errno.EACCES:
        return "needs privileges that this user does not have"
    return f"cannot be opened ({error.strerror})"
