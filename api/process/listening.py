"""Takes a port to listen on, or says in terms of the settings why it cannot be had."""

import socket
from typing import Final

from streams.errors import SettingsError
from streams.settings import variable

BACKLOG: Final = 2_048


def listening_socket(host: str, port: int, *, setting: str) -> socket.socket:
    """Listen.

    Args:
        host: address of this machine, or a name of one.
        port: that nobody else has.
        setting: the name of the setting that says the port.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise SettingsError(
            f"{variable('host')}, {variable(setting)}: cannot listen on {host}:{port}: {exc.strerror}"
        ) from exc
