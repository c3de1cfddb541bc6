"""Ports of the services that `up` starts: the usual ones when they are free, and the same again at every start."""

from pathlib import Path
from typing import Final

import msgspec

from indexer.durable import replace_file
from infra.supervisor.ports import free_port, require_free_port
from infra.supervisor.service import StartError


class LocalPorts(msgspec.Struct, frozen=True):
    """Where local services listen on the loopback interface."""

    kafka: int
    controller: int
    postgres: int


_USUAL: Final = LocalPorts(kafka=9092, controller=9093, postgres=5432)


def choose_ports(remembered: Path) -> LocalPorts:
    """Choose ports that are free now and note them for the next start.

    Args:
        remembered: file that keeps the choice.
    """
    noted = noted_ports(remembered)
    wanted = noted or _USUAL
    chosen = LocalPorts(*(_free_or_other(getattr(wanted, name)) for name in LocalPorts.__struct_fields__))
    if chosen != noted:
        replace_file(remembered, msgspec.json.encode(chosen))
    return chosen


def noted_ports(remembered: Path) -> LocalPorts | None:
    """The ports of the last start, if there was one.

    Args:
        remembered: file that keeps the choice.
    """
    try:
        return msgspec.json.decode(remembered.read_bytes(), type=LocalPorts)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _free_or_other(port: int) -> int:
    try:
        require_free_port(port, purpose="a local service", option="another one")
    except StartError:
        return free_port()
    return port
