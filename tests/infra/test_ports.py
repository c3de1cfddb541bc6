import socket

import pytest

from infra.supervisor.ports import LOOPBACK, free_port, held_port, require_free_port
from infra.supervisor.service import StartError


def test_a_port_in_use_is_named_with_its_option() -> None:
    """The message says which port, what for, and how to choose another."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StartError) as refusal:
            require_free_port(port, purpose="the API", option="--port")
    assert str(refusal.value) == f"port {port} for the API is in use by another program; choose another with --port"


def test_an_address_that_is_not_ours_is_explained() -> None:
    """Any other error of the network comes with the same port and option."""
    with pytest.raises(StartError, match=r"port 8080 for the API cannot be opened .* choose another with --port"):
        require_free_port(8080, purpose="the API", option="--port", host="203.0.113.1")


def test_a_free_port_can_be_listened_on() -> None:
    """What `free_port` gives passes the check."""
    require_free_port(free_port(), purpose="a test", option="none")


def test_a_port_just_closed_is_free() -> None:
    """The remains of a connection do not count as a listener: a restart must not wait a minute."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((LOOPBACK, port))
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    require_free_port(port, purpose="a test", option="none")


def test_a_port_that_is_held_is_refused_until_it_is_let_go() -> None:
    """Nobody listens on it yet, and it is taken all the same; its holder's service can listen."""
    port = free_port()
    with held_port(port, purpose="a test", option="none"):
        with (
            pytest.raises(StartError, match=rf"port {port} for the API is in use .* with --port"),
            held_port(port, purpose="the API", option="--port"),
        ):
            pass
        socket.create_server((LOOPBACK, port)).close()
    with held_port(port, purpose="a test", option="none"):
        pass


def test_a_port_that_somebody_listens_on_cannot_be_held() -> None:
    """Programs that are none of ours hold no names."""
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StartError, match="in use"), held_port(port, purpose="a test", option="none"):
            pass
